"""The public keys of an OpenID Connect issuer (its JWKS), fetched in the background and kept.

A request never waits for a key that is known, so an issuer that is away locks out nobody whose token it has signed
before. Only a key that is not known is asked for at once, since that is how an issuer's new key is met, and at most
once in a few seconds, since anyone can make up a key's name.
"""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import aiohttp
import jwt

from summit_runtime.backoff import Backoff
from summit_runtime.waiting import wait

logger = logging.getLogger("summit.api")

ALGORITHMS = frozenset({"RS256", "ES256", "EdDSA"})
"""Signatures with a private key that only the issuer has. Never `none`, nor an HMAC, whose key signs as well."""

REFRESH_SECONDS = 300.0
"""How long a key that the issuer has withdrawn is still taken."""
PAUSE_SECONDS = 2.0
"""Least time between two fetches, whatever the tokens name: so a flood of unknown keys is no flood for the issuer."""
TIMEOUT_SECONDS = 5.0

_DISCOVERY = "/.well-known/openid-configuration"
_MAX_BYTES = 1_000_000
"""Of a document; a hundred keys with their certificates are a quarter of it."""


class IssuerUnavailable(Exception):
    """The issuer's keys cannot be had; the sentence says why."""


class UnknownKey(Exception):
    """The issuer has no such key."""


class SigningKeys:
    """The keys of one issuer. `follow` must run for them to be there."""

    def __init__(self, issuer: str) -> None:
        self._issuer = issuer
        self._keys: Mapping[str | None, jwt.PyJWK] = {}
        self._failure: str | None = None
        self._resting = False
        self._wanted = asyncio.Event()
        self._asked = asyncio.Event()

    async def get(self, key_id: str | None) -> jwt.PyJWK:
        """The key with this id, the only one for None. Raises UnknownKey or IssuerUnavailable."""
        if key_id not in self._keys and not self._resting:
            self._wanted.set()
            await wait(self._asked, TIMEOUT_SECONDS)
        if key := self._keys.get(key_id):
            return key
        if self._failure or not self._keys:
            raise IssuerUnavailable(self._failure or f"issuer {self._issuer} has not answered yet")
        raise UnknownKey

    async def follow(self) -> None:
        """Fetch the keys for ever: regularly, and when one is wanted that is not known."""
        backoff = Backoff()
        while True:
            self._wanted.clear()
            await self._ask()
            self._asked.set()
            self._asked = asyncio.Event()
            self._resting = True
            await asyncio.sleep(max(PAUSE_SECONDS, backoff.next_seconds()) if self._failure else PAUSE_SECONDS)
            self._resting = False
            if not self._failure:
                backoff = Backoff()
                await wait(self._wanted, REFRESH_SECONDS)

    async def _ask(self) -> None:
        """Replace the keys by those the issuer has now; when it cannot be asked, those that are known go on."""
        try:
            self._keys = await _fetch(self._issuer)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            self._tell(f"the keys of issuer {self._issuer} cannot be had: {error or type(error).__name__}")
        else:
            self._tell(None)

    def _tell(self, failure: str | None) -> None:
        """Log a change, not each attempt."""
        if failure and not self._failure:
            logger.warning("%s; %d known keys go on", failure, len(self._keys))
        elif self._failure and not failure:
            logger.info("issuer %s answers again", self._issuer)
        self._failure = failure


async def _fetch(issuer: str) -> Mapping[str | None, jwt.PyJWK]:
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout, trust_env=True) as session:
        discovery = await _document(session, issuer.rstrip("/") + _DISCOVERY)
        if discovery.get("issuer") != issuer:
            raise ValueError(f"its discovery document is of issuer {discovery.get('issuer')!r}")
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
        raise ValueError(f"{url} is no JSON object")  # noqa: TRY004  what it is is the server's mistake
    return document


def _usable(jwks: Mapping[str, Any]) -> Mapping[str | None, jwt.PyJWK]:
    """The keys we may verify with, by their id. An issuer may have others, for encryption for example."""
    keys: dict[str | None, jwt.PyJWK] = {}
    described = jwks.get("keys")
    for one in described if isinstance(described, list) else []:
        if isinstance(one, dict) and one.get("use", "sig") == "sig":
            with suppress(jwt.PyJWTError, TypeError):  # TypeError: a member is of another type than PyJWT thinks of
                key = jwt.PyJWK(one)
                if key.algorithm_name in ALGORITHMS:
                    keys[key.key_id] = key
    if not keys:
        raise ValueError(f"it has no key for {', '.join(sorted(ALGORITHMS))}")
    if len(keys) == 1:
        keys[None] = next(iter(keys.values()))  # a token need not name the only key
    return keys
