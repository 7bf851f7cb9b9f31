"""What NATS keeps: the stream of all events and the buckets beside it, how they are made, and reading them."""
