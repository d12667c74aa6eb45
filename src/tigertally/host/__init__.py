"""The floor of every daemon: one writer thread, doors, pages, long polls, a clean end."""
