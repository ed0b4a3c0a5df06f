"""Sound that is separated while it comes in. Data flows one way: source -> separator -> sinks."""
