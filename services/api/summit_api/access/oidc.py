"""OpenID Connect: the person that a JWT belongs to, and their groups.

PyJWT does the cryptography. It is the most used library for it, and rejects a token whose algorithm is not that of its
key. We set issuer, audience and algorithms; the access file has the roles of groups.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import jwt
from cryptography.exceptions import InternalError, UnsupportedAlgorithm

from summit_api.access.signing_keys import ALGORITHMS, SigningKeys, UnknownKey

LEEWAY_SECONDS = 30
"""How far the issuer's clock may be from ours."""


_SENTENCES: Mapping[type[jwt.PyJWTError], str] = {
    jwt.ExpiredSignatureError: "the token has expired",
    jwt.ImmatureSignatureError: "the token is not valid yet",
    jwt.InvalidAudienceError: "the audience of the token is not {audience!r}",
    jwt.InvalidIssuerError: "the issuer of the token is not {issuer}",
    jwt.MissingRequiredClaimError: "the token must have the claims exp, iss and aud",
    jwt.InvalidAlgorithmError: f"the token must be signed with one of {', '.join(sorted(ALGORITHMS))}, as its key says",
    jwt.InvalidSignatureError: "the token's signature is not that of its issuer",
}


_UNREADABLE = (
    *(jwt.PyJWTError, ArithmeticError, LookupError, RecursionError, TypeError, ValueError),
    *(InternalError, UnsupportedAlgorithm),
)
"""What PyJWT and its libraries raise for hostile tokens, such as one that is nested deeply or has an endless number."""


class InvalidToken(Exception):
    """The token is not valid. The sentence explains why, and shows nothing of the token."""


@dataclass(frozen=True)
class Identity:
    name: str
    groups: frozenset[str]
    until: datetime


class Issuer:
    """The identity provider that we trust."""

    def __init__(self, *, issuer: str, audience: str, name_claim: str, groups_claim: str) -> None:
        self.keys = SigningKeys(issuer)
        self._issuer = issuer
        self._audience = audience
        self._name_claim = name_claim
        self._groups_claim = groups_claim

    async def identify(self, token: str) -> Identity:
        """The owner of the token. Raises InvalidToken, or IssuerUnavailable when nobody can know at the moment."""
        try:
            claims = await self._verified(token)
        except _UNREADABLE as error:
            raise InvalidToken(self._sentence(error)) from None
        except UnknownKey:
            raise InvalidToken(f"the token is signed with a key that {self._issuer} does not have") from None
        name = _claim(claims, self._name_claim)
        if not isinstance(name, str) or not name:
            raise InvalidToken(f"the token has no claim {self._name_claim!r} with a name")
        return Identity(name, _names(_claim(claims, self._groups_claim)), _time(claims["exp"]))

    async def _verified(self, token: str) -> Mapping[str, Any]:
        header = jwt.get_unverified_header(token)
        if header.get("alg") not in list(ALGORITHMS):  # a list, since the value in the token may not be hashable
            raise jwt.InvalidAlgorithmError
        claims: Mapping[str, Any] = jwt.decode(
            token,
            await self.keys.get(header.get("kid")),
            algorithms=sorted(ALGORITHMS),
            audience=self._audience,
            issuer=self._issuer,
            leeway=LEEWAY_SECONDS,
            options={"require": ["exp", "iss", "aud"], "enforce_minimum_key_length": True},
        )
        return claims

    def _sentence(self, error: Exception) -> str:
        for kind, sentence in _SENTENCES.items():
            if isinstance(error, kind):
                return sentence.format(issuer=self._issuer, audience=self._audience)
        return "the token cannot be read as a JWT"


def _time(seconds: Any) -> datetime:
    """When a token expires; PyJWT has validated it. A time beyond the year 9999 is cut to that."""
    try:
        return datetime.fromtimestamp(int(seconds), UTC)
    except (OverflowError, ValueError, OSError):
        return datetime.max.replace(tzinfo=UTC)


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """The claim with this name, or with this path, such as `realm_access.roles` of Keycloak."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for step in name.split("."):
        found = found.get(step) if isinstance(found, Mapping) else None
    return found


def _names(groups: Any) -> frozenset[str]:
    several = [groups] if isinstance(groups, str) else groups if isinstance(groups, list) else []
    return frozenset(group for group in several if isinstance(group, str))
