"""One way to turn a scene into tracks a file."""
