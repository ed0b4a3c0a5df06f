"""Training data: what the loop reads."""
