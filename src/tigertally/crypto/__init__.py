"""Thin wrappers of vetted libraries: encryption, signatures, key derivation, files, TLS."""
