"""Bearer tokens: 256 random bits that are shown once, and the hash of them that is kept.

The hash is a plain SHA-256 on purpose. A slow hash protects passwords that people choose, because it makes each guess
expensive. Nobody guesses 256 random bits, so it would only make each request slow. That is why a token must have the
shape of ours.
"""

import hashlib
import re
import secrets

PREFIX = "summit_"
"""Distinguishes a token from a JWT, and lets scanners of repositories find committed tokens."""

_RANDOM_BYTES = 32
_SHAPE = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43,200}}")  # 43 characters of base64 are 256 bits


def new_token() -> str:
    return PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def is_token(text: str) -> bool:
    """Whether it has the shape of ours, and so their randomness."""
    return _SHAPE.fullmatch(text) is not None


def digest(token: str) -> str:
    """The hash of a token, which is kept. Nobody can get the token from it."""
    return hashlib.sha256(token.encode()).hexdigest()
