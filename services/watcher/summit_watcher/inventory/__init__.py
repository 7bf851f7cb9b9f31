"""The present state of a cluster, what was published of it, and the difference as events."""
