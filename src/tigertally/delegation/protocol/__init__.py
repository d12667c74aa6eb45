"""The steps of writing and reading, without I/O of their own."""
