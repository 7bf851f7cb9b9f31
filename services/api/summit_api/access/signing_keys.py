"""The public keys of an OpenID Connect issuer (its JWKS), fetched in the background and kept.

A request never waits for a known key, so nobody with a valid token is locked out while the issuer is away. Only an
unknown key is fetched at once, since a new key of the issuer first shows up like that; and at most once in a few
seconds, since anyone can make up the name of a key.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress

import aiohttp
import jwt
import msgspec
from cryptography.exceptions import UnsupportedAlgorithm

from summit_api.access import issuer_documents
from summit_api.access.issuer_documents import TIMEOUT_SECONDS, IssuerDocumentError
from summit_runtime.backoff import Backoff
from summit_runtime.condition import Condition
from summit_runtime.printable import printable
from summit_runtime.waiting import wait

logger = logging.getLogger("summit.api")

ALGORITHMS = frozenset({"RS256", "ES256", "EdDSA"})
"""Signatures with a private key that only the issuer has. Never `none`, nor HMAC, whose key can sign as well."""
KEY_TYPES = frozenset({"RSA", "EC", "OKP"})
"""Those of these algorithms."""

REFRESH_SECONDS = 300.0
"""How long a key that the issuer has withdrawn is still accepted."""
PAUSE_SECONDS = 2.0
"""Least time between two fetches: a flood of unknown keys does not become a flood of requests to the issuer."""

_LONGEST_REASON = 300
"""Characters of an error that may quote what the issuer has answered."""


class IssuerUnavailable(Exception):
    """The keys of the issuer cannot be fetched; the sentence explains why."""


class UnknownKey(Exception):
    """The issuer has no such key."""


class SigningKeys:
    """The keys of one issuer. `follow` must run for them to be there."""

    def __init__(self, issuer: str) -> None:
        self._issuer = issuer
        self._keys: Mapping[str | None, jwt.PyJWK] = {}
        self._failure: str | None = None
        self._unavailable = Condition(logger)
        self._resting = False
        self._unknown = asyncio.Event()
        self._fetched = asyncio.Event()

    async def get(self, key_id: str | None) -> jwt.PyJWK:
        """The key with this id, the only one for None. Raises UnknownKey or IssuerUnavailable."""
        if key_id not in self._keys and not self._resting:
            self._unknown.set()
            await wait(self._fetched, TIMEOUT_SECONDS)
        if key := self._keys.get(key_id):
            return key
        if self._failure or not self._keys:
            raise IssuerUnavailable(self._failure or f"issuer {self._issuer} has not answered yet")
        raise UnknownKey

    async def follow(self) -> None:
        """Fetch the keys for ever: regularly, and when a token names an unknown one."""
        backoff = Backoff()
        while True:
            self._unknown.clear()
            await self._fetch()
            self._fetched.set()
            self._fetched = asyncio.Event()
            self._resting = True
            await asyncio.sleep(max(PAUSE_SECONDS, backoff.next_seconds()) if self._failure else PAUSE_SECONDS)
            self._resting = False
            if not self._failure:
                backoff = Backoff()
                await wait(self._unknown, REFRESH_SECONDS)

    async def _fetch(self) -> None:
        """Replace the keys by the issuer's current ones. While the issuer is away, the known keys stay valid."""
        try:
            self._keys = await _fetch(self._issuer)
        except (aiohttp.ClientError, IssuerDocumentError, OSError, TimeoutError, ValueError) as error:
            why = printable(str(error), _LONGEST_REASON) or type(error).__name__
            self._failure = f"cannot fetch the keys of issuer {self._issuer}: {why}"
            self._unavailable.holds("%s; its %d known keys stay valid", self._failure, len(self._keys))
        else:
            self._failure = None
            self._unavailable.ends("issuer %s answers again", self._issuer)


async def _fetch(issuer: str) -> Mapping[str | None, jwt.PyJWK]:
    async with issuer_documents.session() as session:
        discovery = await issuer_documents.discovery(session, issuer)
        return _usable(await issuer_documents.keys(session, issuer, discovery.jwks_uri))


def _usable(described: Iterable[issuer_documents.Key]) -> Mapping[str | None, jwt.PyJWK]:
    """Keys for verification, by their id. An issuer may have others, such as for encryption."""
    keys: dict[str | None, jwt.PyJWK] = {}
    for one in described:
        if one.use == "sig" and one.kty in KEY_TYPES and one.alg in (None, *ALGORITHMS):
            members = {name: value for name, value in msgspec.structs.asdict(one).items() if value is not None}
            with suppress(jwt.PyJWTError, ValueError, UnsupportedAlgorithm):
                key = jwt.PyJWK(members)
                if key.algorithm_name in ALGORITHMS:
                    keys[key.key_id] = key
    if not keys:
        raise IssuerDocumentError(f"the issuer has no key for {', '.join(sorted(ALGORITHMS))}")
    if len(keys) == 1:
        keys[None] = next(iter(keys.values()))  # a token need not name the only key
    return keys
