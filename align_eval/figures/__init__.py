"""Soft maps and links -> pictures."""
