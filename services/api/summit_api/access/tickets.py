"""Tickets: a browser opens a feed with a ticket, since its EventSource cannot send headers.

A ticket is signed, not stored, so every replica with the key accepts it. In exchange it can be used again until it
expires. It opens only the feed, so an address in the log of a proxy is worth little, and nothing after a minute.
"""

import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime, timedelta
from hashlib import sha256

import msgspec
from pydantic import SecretStr

from summit_api.access.principal import Principal, Role, Scope
from summit_models.contract import DatacenterId

VALID_FOR = timedelta(seconds=60)
"""A browser needs a second to connect. The rest is for its reconnections."""

MAX_LENGTH = 16_384
_DOMAIN = b"summit-connect feed ticket\0"
"""The key may have another use, and what it signed there is not a ticket."""


class _Content(msgspec.Struct):
    name: str
    role: int
    datacenters: frozenset[DatacenterId] | None
    namespaces: frozenset[str] | None
    until: datetime | None
    expires: datetime


class Tickets:
    """Makes and verifies tickets. Without a key they are valid in this process only."""

    def __init__(self, key: SecretStr | None = None) -> None:
        self._key = key.get_secret_value().encode() if key else secrets.token_bytes(32)

    def new(self, principal: Principal, now: datetime) -> tuple[str, datetime]:
        """A ticket, and when it expires: no later than the token that it was made for."""
        expires = min(now + VALID_FOR, principal.until or now + VALID_FOR)
        scope = principal.scope
        content = msgspec.json.encode(
            _Content(principal.name, principal.role, scope.datacenters, scope.namespaces, principal.until, expires)
        )
        return f"{_text(content)}.{_text(self._sign(content))}", expires

    def principal(self, ticket: str, now: datetime) -> Principal | None:
        """The owner of the ticket; None if it is not ours, or too old."""
        try:
            content, signature = (_bytes(part) for part in ticket.split("."))
        except ValueError:
            return None
        if not hmac.compare_digest(signature, self._sign(content)):
            return None
        known = msgspec.json.decode(content, type=_Content)
        if known.expires <= now:
            return None
        return Principal(known.name, Role(known.role), Scope(known.datacenters, known.namespaces), known.until)

    def _sign(self, content: bytes) -> bytes:
        return hmac.digest(self._key, _DOMAIN + content, sha256)


def _text(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
