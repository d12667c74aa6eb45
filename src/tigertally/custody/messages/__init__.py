"""What travels in custody, one message family a file."""
