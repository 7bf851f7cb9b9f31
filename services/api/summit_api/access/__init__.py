"""The principal that sends a request, and what it may see and do."""
