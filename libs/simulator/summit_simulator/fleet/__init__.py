"""Fleets to look at, with a life of their own."""
