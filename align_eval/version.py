"""The version of the package; it is part of every signature."""

__version__ = "0.1.0"
