"""What an OpenID Connect issuer answers, read within bounds: a program of others may be broken or taken over.

Only the members that we use are decoded. No redirect is followed: the address is where the trust begins. The bytes are
read as they are, since a megabyte of gzip can be a gigabyte. Nothing from `.netrc` is sent.
"""

from typing import Annotated, TypeVar
from urllib.parse import urlsplit

import aiohttp
import msgspec
from aiohttp.helpers import get_env_proxy_for_url
from yarl import URL

from summit_api.access.pages import is_loopback

TIMEOUT_SECONDS = 5.0
"""For each document."""
MOST_BYTES = 1_000_000
"""For each document. A hundred keys with their certificates have a quarter of it."""
MOST_KEYS = 100
"""Issuers have two or three; one with a thousand has a fault."""

_DISCOVERY = "/.well-known/openid-configuration"
_PIECE_BYTES = 65_536

_Name = Annotated[str, msgspec.Meta(max_length=200)]
_Number = Annotated[str, msgspec.Meta(max_length=2_731)]
"""In base64url: 16 384 bits, the longest RSA key that OpenSSL verifies with."""
_Exponent = Annotated[str, msgspec.Meta(max_length=11)]
"""64 bits, OpenSSL's limit for the exponent of a long key."""


class IssuerDocumentError(Exception):
    """A document of the issuer cannot be used; the sentence says which and why."""


class Discovery(msgspec.Struct):
    """OpenID Connect Discovery 1.0, section 3."""

    issuer: str
    jwks_uri: str


class Key(msgspec.Struct):
    """A public key: RFC 7517 section 4, and the members of the key types in RFC 7518 section 6 and RFC 8037."""

    kty: _Name
    use: _Name = "sig"
    alg: _Name | None = None
    kid: _Name | None = None
    crv: _Name | None = None
    n: _Number | None = None
    e: _Exponent | None = None
    x: _Number | None = None
    y: _Number | None = None


class _KeySet(msgspec.Struct):
    keys: list[msgspec.Raw]


_DocumentT = TypeVar("_DocumentT", Discovery, _KeySet)


def session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS),
        headers={"Accept": "application/json", "Accept-Encoding": "identity"},
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    )


async def discovery(session: aiohttp.ClientSession, issuer: str) -> Discovery:
    """Raises IssuerDocumentError for that of another issuer, and for keys that somebody on the way could change."""
    url = issuer.rstrip("/") + _DISCOVERY
    found = await _document(session, url, Discovery)
    if found.issuer != issuer:
        raise IssuerDocumentError(f"the issuer in its discovery document is {found.issuer!r}")
    keys = urlsplit(found.jwks_uri)
    hosts = (keys.hostname or "", urlsplit(issuer).hostname or "")
    if keys.scheme != "https" and not (keys.scheme == "http" and all(map(is_loopback, hosts))):
        raise IssuerDocumentError(f"the jwks_uri in its discovery document is no https:// address: {found.jwks_uri!r}")
    return found


async def keys(session: aiohttp.ClientSession, issuer: str, url: str) -> list[Key]:
    """The keys that can be read; one that cannot costs only itself. Raises IssuerDocumentError for too many."""
    described = (await _document(session, url, _KeySet)).keys
    if len(described) > MOST_KEYS:
        raise IssuerDocumentError(f"issuer {issuer} has {len(described)} keys, and at most {MOST_KEYS} are read")
    return [key for key in map(_key, described) if key]


def _key(described: msgspec.Raw) -> Key | None:
    try:
        return msgspec.json.decode(described, type=Key)
    except (RecursionError, ValueError):
        return None


async def _document(session: aiohttp.ClientSession, url: str, type_: type[_DocumentT]) -> _DocumentT:
    body = await _body(session, url)
    try:
        return msgspec.json.decode(body, type=type_)
    except (RecursionError, ValueError) as error:
        raise IssuerDocumentError(f"{url} answered what cannot be read: {error}") from None


async def _body(session: aiohttp.ClientSession, url: str) -> bytes:
    proxy, proxy_auth = _proxy(url)
    async with session.get(url, allow_redirects=False, proxy=proxy, proxy_auth=proxy_auth) as answer:
        if answer.status != 200:
            raise IssuerDocumentError(f"{url} answered {answer.status}")
        if (coding := answer.headers.get("Content-Encoding", "identity")) != "identity":
            raise IssuerDocumentError(f"{url} answered with the encoding {coding!r}, which was not asked for")
        body = bytearray()
        async for piece in answer.content.iter_chunked(_PIECE_BYTES):
            body += piece
            if len(body) > MOST_BYTES:
                raise IssuerDocumentError(f"{url} answered more than {MOST_BYTES} bytes")
    return bytes(body)


def _proxy(url: str) -> tuple[URL | None, aiohttp.BasicAuth | None]:
    """HTTP_PROXY and its like. aiohttp's own way (`trust_env`) would send passwords of `.netrc` as well."""
    try:
        return get_env_proxy_for_url(URL(url))
    except LookupError:
        return None, None
