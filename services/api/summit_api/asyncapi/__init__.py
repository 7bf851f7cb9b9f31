"""The AsyncAPI document of the NATS feed, as `openapi` is the document of the HTTP API."""
