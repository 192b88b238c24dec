"""Training of aligners on gold links."""
