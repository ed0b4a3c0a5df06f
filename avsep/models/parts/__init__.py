"""What models are made of, besides separators."""
