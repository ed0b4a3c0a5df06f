"""avsep: one clean track per person from a video in which several people talk at once."""

__version__ = "0.1.0"
