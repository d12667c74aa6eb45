"""The ground floor: errors, secrets, encodings, identifiers, clock, randomness, limits."""
