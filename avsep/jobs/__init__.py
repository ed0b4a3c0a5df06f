"""Many clips: one function on each of them, here, in several processes or on a cluster, and nothing lost."""
