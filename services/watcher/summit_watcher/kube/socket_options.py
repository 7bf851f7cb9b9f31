"""Sockets that notice a dead peer: aiohttp sets no keepalive, and firewalls forget idle connections."""

import socket
from typing import Any

KEEPALIVE_AFTER_SECONDS = 30
KEEPALIVE_EVERY_SECONDS = 10
KEEPALIVE_PROBES = 3
UNACKNOWLEDGED_MILLISECONDS = 30_000

_TCP_OPTIONS = {
    "TCP_KEEPIDLE": KEEPALIVE_AFTER_SECONDS,
    "TCP_KEEPINTVL": KEEPALIVE_EVERY_SECONDS,
    "TCP_KEEPCNT": KEEPALIVE_PROBES,
    "TCP_USER_TIMEOUT": UNACKNOWLEDGED_MILLISECONDS,
}
"""By name: TCP_USER_TIMEOUT is Linux only."""


def keepalive_socket(address: tuple[Any, ...]) -> socket.socket:
    """A socket for one result of getaddrinfo, with keepalive on."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _TCP_OPTIONS.items():
        if (option := getattr(socket, name, None)) is not None:
            made.setsockopt(socket.IPPROTO_TCP, option, value)
    return made
