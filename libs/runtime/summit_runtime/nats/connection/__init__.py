"""One connection to NATS: its address and login, staying connected, and the clock of its server."""
