"""One separator architecture a file."""
