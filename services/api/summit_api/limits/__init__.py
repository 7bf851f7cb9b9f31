"""Limits, so that no client keeps the others from being served."""
