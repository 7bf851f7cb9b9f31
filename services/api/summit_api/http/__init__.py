"""HTTP on the wire: the server, its protocol and its limits."""
