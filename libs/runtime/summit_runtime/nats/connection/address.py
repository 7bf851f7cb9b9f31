"""NATS_URL as nats.go reads it: servers separated by commas, each with the user and password it needs.

`nats://summit:p%40ss@a:4222,nats://summit:p%40ss@b:4222`. User and password are percent-encoded; a user without a
password is a token. nats-py takes them as they stand, and one server only.
"""

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

SCHEMES = ("nats", "tls", "ws", "wss")
DEFAULT_PORT = 4222
_WEBSOCKET = frozenset({"ws", "wss"})
"""nats-py speaks either plain NATS or websockets over one client."""

EXAMPLE = "write it as nats://user:password@host:4222, more servers after a comma"
ENCODED = "and percent-encode the special characters of user and password"


class Credentials(NamedTuple):
    """What a server asks for; None is not sent."""

    user: str | None = None
    password: str | None = None
    token: str | None = None


class Address(NamedTuple):
    """Servers without their credentials, as `scheme://host:port`, and the credentials by `host:port`."""

    servers: tuple[str, ...]
    credentials: Mapping[str, Credentials]

    @property
    def user(self) -> str:
        """The user of the first server that asks for one; empty if there is none."""
        return next((found.user for found in self.credentials.values() if found.user), "")

    def credentials_of(self, server: str) -> Credentials:
        """The credentials for `host:port`. A server that another one of the cluster named has those of the first."""
        first = next((found for found in self.credentials.values() if any(found)), Credentials())
        return self.credentials.get(server, first)


def parse(url: str) -> Address:
    """Read NATS_URL. Raises ValueError with a sentence that shows no part of it but the scheme."""
    parts = [_split(server) for text in url.split(",") if (server := text.strip())]
    if not parts:
        raise ValueError(f"it names no server; {EXAMPLE}")
    if len({part.scheme in _WEBSOCKET for part in parts}) > 1:
        raise ValueError("ws:// and wss:// cannot be mixed with nats:// and tls://")
    servers = {f"{part.scheme}://{_host_and_port(part)}": _credentials(part) for part in parts}
    return Address(tuple(servers), {server.partition("://")[2]: found for server, found in servers.items()})


def _split(server: str) -> SplitResult:
    parts = urlsplit(server if "://" in server else f"nats://{server}")
    if parts.scheme not in SCHEMES:
        schemes = ", ".join(f"{scheme}://" for scheme in SCHEMES)
        raise ValueError(f"there is no scheme {parts.scheme}://, only {schemes}; {EXAMPLE}")
    return parts


def _host_and_port(parts: SplitResult) -> str:
    try:
        host, port = parts.hostname, parts.port
    except ValueError:  # its text has a piece of a password that was not encoded
        raise ValueError(f"its port is not a number; {EXAMPLE}, {ENCODED}") from None
    if not host or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(f"it is not the address of a server; {EXAMPLE}, {ENCODED}")
    default = {"ws": 80, "wss": 443}.get(parts.scheme, DEFAULT_PORT)
    return f"{f'[{host}]' if ':' in host else host}:{port or default}"


def _credentials(parts: SplitResult) -> Credentials:
    if parts.password is None:
        return Credentials(token=unquote(parts.username) if parts.username else None)
    return Credentials(user=unquote(parts.username or ""), password=unquote(parts.password))
