"""The pure steps of custody: no I/O, no clock; time, randomness and keys come in as arguments."""
