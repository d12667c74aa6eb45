"""Tigertally (虎符): key management in which nobody ever holds a whole key that matters."""

__version__ = "0.1.0"
