"""Servers and services as child processes."""
