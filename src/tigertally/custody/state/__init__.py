"""What each party of custody remembers."""
