"""Which voice belongs to which face."""
