"""The API server: requests, access, lists, watches, writes."""
