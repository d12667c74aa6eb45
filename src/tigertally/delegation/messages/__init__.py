"""What is written and what travels."""
