"""Sound that is separated while it comes in. Data flows one way: source -> separator -> sinks."""

HIGHEST_RATE = 384_000
"""Hz. The filters to and from the model's rate grow with it."""
