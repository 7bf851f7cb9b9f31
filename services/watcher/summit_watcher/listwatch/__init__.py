"""List and watch one resource of one cluster, for ever."""
