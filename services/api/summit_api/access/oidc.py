"""OpenID Connect: whose a JWT is, and in which groups that person is.

PyJWT does the cryptography: the most used library for it, which refuses a token whose algorithm is not its key's. We
say which issuer, audience and algorithms; what a group may do is in the access file.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import jwt

from summit_api.access.signing_keys import ALGORITHMS, SigningKeys, UnknownKey

LEEWAY_SECONDS = 30
"""How far the issuer's clock may be from ours."""


_COMPLAINTS: Mapping[type[jwt.PyJWTError], str] = {
    jwt.ExpiredSignatureError: "the token has expired",
    jwt.ImmatureSignatureError: "the token is not valid yet",
    jwt.InvalidAudienceError: "the token is for another audience than {audience!r}",
    jwt.InvalidIssuerError: "the token is of another issuer than {issuer}",
    jwt.MissingRequiredClaimError: "the token must have the claims exp, iss and aud",
    jwt.InvalidAlgorithmError: f"the token must be signed with one of {', '.join(sorted(ALGORITHMS))}, as its key says",
    jwt.InvalidSignatureError: "the token's signature is not that of its issuer",
}


class InvalidToken(Exception):
    """The token proves nothing; the sentence says why, and shows nothing of it."""


@dataclass(frozen=True)
class Identity:
    name: str
    groups: frozenset[str]
    until: datetime


class Issuer:
    """Whom we trust to say who somebody is."""

    def __init__(self, *, issuer: str, audience: str, name_claim: str, groups_claim: str) -> None:
        self.keys = SigningKeys(issuer)
        self._issuer = issuer
        self._audience = audience
        self._name_claim = name_claim
        self._groups_claim = groups_claim

    async def identify(self, token: str) -> Identity:
        """Whose token it is. Raises InvalidToken, or IssuerUnavailable when that cannot be known at the moment."""
        try:
            claims = await self._verified(token)
        except jwt.PyJWTError as error:
            raise InvalidToken(self._complaint(error)) from None
        except UnknownKey:
            raise InvalidToken(f"the token is signed with a key that {self._issuer} does not have") from None
        name = _claim(claims, self._name_claim)
        if not isinstance(name, str) or not name:
            raise InvalidToken(f"the token has no claim {self._name_claim!r} that tells a name")
        return Identity(name, _names(_claim(claims, self._groups_claim)), _time(claims["exp"]))

    async def _verified(self, token: str) -> Mapping[str, Any]:
        header = jwt.get_unverified_header(token)
        if header.get("alg") not in list(ALGORITHMS):  # of a list, since what the token names may have no hash
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

    def _complaint(self, error: jwt.PyJWTError) -> str:
        for kind, sentence in _COMPLAINTS.items():
            if isinstance(error, kind):
                return sentence.format(issuer=self._issuer, audience=self._audience)
        return "the token cannot be read as a JWT"


def _time(seconds: Any) -> datetime:
    """When a token ends; PyJWT has looked at it. What is beyond all years ends with them."""
    try:
        return datetime.fromtimestamp(int(seconds), UTC)
    except (OverflowError, ValueError, OSError):
        return datetime.max.replace(tzinfo=UTC)


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """The claim of this name; else what the name leads to, as `realm_access.roles` does with Keycloak."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for step in name.split("."):
        found = found.get(step) if isinstance(found, Mapping) else None
    return found


def _names(groups: Any) -> frozenset[str]:
    """One group or several."""
    several = [groups] if isinstance(groups, str) else groups if isinstance(groups, list) else []
    return frozenset(group for group in several if isinstance(group, str))
