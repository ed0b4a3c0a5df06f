"""Runs any model over a long signal."""
