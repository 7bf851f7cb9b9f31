"""NATS JetStream: connect, publish, append and read the log."""
