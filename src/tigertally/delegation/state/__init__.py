"""What an owner keeps about its labels: rows of the profile's sealed store."""

from tigertally.delegation.state.remembered import Remembered

__all__ = ["Remembered"]
