"""Many clips: one function on each of them, in this process, in several, or on a cluster, and nothing lost on the way."""
