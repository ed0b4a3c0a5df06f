"""Results of `avsep separate` read back: names, time lines, people, the page."""
