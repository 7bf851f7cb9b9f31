"""Reach one cluster: files and credentials, connection, transport, and the decoding of what it answers."""
