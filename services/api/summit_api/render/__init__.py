"""What answers look like: the original API's shapes, ours, and how both become JSON."""
