"""Leases: which clusters this watcher has, and how it comes to them and leaves them."""
