"""The public keys of an OpenID Connect issuer (its JWKS), fetched in the background and kept.

A request never waits for a known key, so nobody with a valid token is locked out while the issuer is away. Only an
unknown key is fetched at once, since a new key of the issuer first shows up like that; and at most once in a few
seconds, since anyone can make up the name of a key.
"""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import aiohttp
import jwt

from summit_runtime.backoff import Backoff
from summit_runtime.condition import Condition
from summit_runtime.waiting import wait

logger = logging.getLogger("summit.api")

ALGORITHMS = frozenset({"RS256", "ES256", "EdDSA"})
"""Signatures with a private key that only the issuer has. Never `none`, nor HMAC, whose key can sign as well."""

REFRESH_SECONDS = 300.0
"""How long a key that the issuer has withdrawn is still accepted."""
PAUSE_SECONDS = 2.0
"""Least time between two fetches: a flood of unknown keys does not become a flood of requests to the issuer."""
TIMEOUT_SECONDS = 5.0

_DISCOVERY = "/.well-known/openid-configuration"
_MAX_BYTES = 1_000_000
"""The most that a document may have. A hundred keys with their certificates have a quarter of it."""


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
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            self._failure = f"cannot fetch the keys of issuer {self._issuer}: {error or type(error).__name__}"
            self._unavailable.holds("%s; its %d known keys stay valid", self._failure, len(self._keys))
        else:
            self._failure = None
            self._unavailable.ends("issuer %s answers again", self._issuer)


async def _fetch(issuer: str) -> Mapping[str | None, jwt.PyJWK]:
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout, trust_env=True) as session:
        discovery = await _document(session, issuer.rstrip("/") + _DISCOVERY)
        if discovery.get("issuer") != issuer:
            raise ValueError(f"the issuer in its discovery document is {discovery.get('issuer')!r}")
        return _usable(await _document(session, str(discovery.get("jwks_uri"))))


async def _document(session: aiohttp.ClientSession, url: str) -> Mapping[str, Any]:
    """A JSON object. Redirects are not followed: the address is where the trust begins."""
    async with session.get(url, allow_redirects=False) as answer:
        if answer.status != 200:
            raise ValueError(f"{url} answered {answer.status}")
        if (answer.content_length or 0) > _MAX_BYTES:
            raise ValueError(f"{url} answered more than {_MAX_BYTES} bytes")
        document = await answer.json(content_type=None)
    if not isinstance(document, dict):
        raise ValueError(f"{url} is not a JSON object")  # noqa: TRY004  a mistake of the server, not a type error
    return document


def _usable(jwks: Mapping[str, Any]) -> Mapping[str | None, jwt.PyJWK]:
    """Keys for verification, by their id. An issuer may have others, such as for encryption."""
    keys: dict[str | None, jwt.PyJWK] = {}
    described = jwks.get("keys")
    for one in described if isinstance(described, list) else []:
        if isinstance(one, dict) and one.get("use", "sig") == "sig":
            with suppress(jwt.PyJWTError, TypeError):  # TypeError: a member has a type that PyJWT does not expect
                key = jwt.PyJWK(one)
                if key.algorithm_name in ALGORITHMS:
                    keys[key.key_id] = key
    if not keys:
        raise ValueError(f"the issuer has no key for {', '.join(sorted(ALGORITHMS))}")
    if len(keys) == 1:
        keys[None] = next(iter(keys.values()))  # a token need not name the only key
    return keys
