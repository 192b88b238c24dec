"""Score matrices, links and measures as pictures, each with its summary."""
