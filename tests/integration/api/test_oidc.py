"""JWTs of an OpenID Connect issuer: which are taken, and what happens while the issuer changes or is away."""

import base64
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from support.issuer import TestIssuer, following, issuing
from support.waiting import until

from summit_api.access.oidc import Identity, InvalidToken, Issuer
from summit_api.access.signing_keys import IssuerUnavailable


@pytest.fixture
async def there() -> AsyncIterator[TestIssuer]:
    async with issuing() as issuer:
        yield issuer


@pytest.fixture
async def ours(there: TestIssuer) -> AsyncIterator[Issuer]:
    async with following(there.url) as issuer:
        yield issuer


async def refusal(ours: Issuer, token: str) -> str:
    with pytest.raises(InvalidToken) as error:
        await ours.identify(token)
    assert token not in str(error.value)
    return str(error.value)


def unsigned(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> str:
    parts = (json.dumps(header).encode(), json.dumps(claims).encode(), signature)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def claims_of(token: str) -> dict[str, Any]:
    return jwt.decode(token, options={"verify_signature": False})


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_valid_token_tells_name_groups_and_end(there: TestIssuer, algorithm: str) -> None:
    """With each of the signatures that are taken."""
    there.add_key("mine", algorithm)
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=7)
    token = there.token("mine", groups=["ops", "dev", 3], exp=until)
    async with following(there.url) as ours:
        assert await ours.identify(token) == Identity("alice", frozenset({"ops", "dev"}), until)


async def test_groups_can_be_anywhere_in_the_token(there: TestIssuer) -> None:
    """One or a list, in a claim of any name or inside another, as Keycloak's roles are."""
    for claim, claims in {
        "realm_access.roles": {"realm_access": {"roles": ["ops"]}},
        "https://example.com/groups": {"https://example.com/groups": "ops"},
    }.items():
        async with following(there.url, groups_claim=claim) as ours:
            assert (await ours.identify(there.token(**claims))).groups == {"ops"}
            assert (await ours.identify(there.token(realm_access=3))).groups == frozenset()


async def test_refused_tokens_and_why(there: TestIssuer, ours: Issuer) -> None:
    """Each check alone is enough to refuse."""
    now = datetime.now(UTC)
    minute = timedelta(minutes=1)
    expected = {
        there.token(exp=now - minute): "the token has expired",
        there.token(nbf=now + minute): "not valid yet",
        there.token(aud="other-service"): "audience of the token is not 'summit-connect'",
        there.token(iss="https://elsewhere.example"): "issuer of the token is not",
        there.token(exp=None): "must have the claims exp, iss and aud",
        there.token(aud=None): "must have the claims exp, iss and aud",
        there.token(sub=None): "no claim 'sub'",
        there.token(headers={"kid": "made-up"}): "a key that",
        there.token() + "AAAA": "signature is not",
        "a.b.c": "cannot be read",
    }
    assert {words for token, words in expected.items() if words not in await refusal(ours, token)} == set()


async def test_clocks_may_differ_by_half_a_minute(there: TestIssuer, ours: Issuer) -> None:
    """Ours and the issuer's are never the same."""
    now = datetime.now(UTC)
    for claims in ({"exp": now - timedelta(seconds=10)}, {"nbf": now + timedelta(seconds=10)}):
        assert (await ours.identify(there.token(**claims))).name == "alice"


async def test_algorithm_is_never_the_tokens_choice(there: TestIssuer, ours: Issuer) -> None:
    """None is no signature, and an HMAC with the public key is one that everybody can make."""
    claims = claims_of(there.token())
    public = there.keys["first"][1].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signed = unsigned({"alg": "HS256", "kid": "first"}, claims)
    mac = jwt.get_algorithm_by_name("HS256").sign(signed.rpartition(".")[0].encode(), public)
    for token in (
        unsigned({"alg": "none", "kid": "first"}, claims),
        unsigned({"alg": "None"}, claims),
        unsigned({"alg": ["RS256"], "kid": "first"}, claims),
        unsigned({"alg": "HS256", "kid": "first"}, claims, mac),
        unsigned({"alg": "ES256", "kid": "first"}, claims, b"0" * 64),
        unsigned({"kid": "first"}, claims),
    ):
        assert "must be signed with one of ES256, EdDSA, RS256" in await refusal(ours, token)
    good = there.token()
    forged = good.split(".")[0] + "." + there.token(sub="root").split(".")[1] + "." + good.split(".")[2]
    assert "signature" in await refusal(ours, forged)


async def test_symmetric_key_that_an_issuer_publishes_is_not_used(there: TestIssuer) -> None:
    """Every reader could sign with it; an unusable key is no reason to refuse the others."""
    secret = base64.urlsafe_b64encode(b"s" * 32).rstrip(b"=").decode()
    there.extra_keys = [
        {"kty": "oct", "k": secret, "kid": "shared", "alg": "HS256"},
        {"kty": "RSA", "kid": "broken"},
        {"kty": "new"},
        {"kty": "RSA", "alg": ["RS256"], "n": "AQAB", "e": "AQAB"},
    ]
    token = jwt.encode(claims_of(there.token()), b"s" * 32, algorithm="HS256", headers={"kid": "shared"})
    async with following(there.url) as ours:
        assert "must be signed with" in await refusal(ours, token)
        assert (await ours.identify(there.token())).name == "alice"


async def test_rotated_keys_are_met_at_once(there: TestIssuer, ours: Issuer) -> None:
    """A token of a new key is taken without a new start, and then a token of the withdrawn one no more."""
    old = there.token()
    await ours.identify(old)
    del there.keys["first"]
    there.add_key("second", "ES256")

    async def taken(token: str) -> bool:
        try:
            await ours.identify(token)
        except InvalidToken:
            return False
        return True

    await until(lambda: taken(there.token("second")), bool)
    assert not await taken(old)


async def test_flood_of_made_up_keys_does_not_reach_the_issuer(there: TestIssuer, ours: Issuer) -> None:
    """Anybody can name keys: a thousand of them are one question at most."""
    await ours.identify(there.token())
    known = there.fetches
    header, _, rest = there.token().partition(".")
    for number in range(1000):
        made_up = base64.urlsafe_b64encode(json.dumps({"alg": "RS256", "kid": f"k{number}"}).encode()).rstrip(b"=")
        await refusal(ours, f"{made_up.decode()}.{rest}")
    assert there.fetches <= known + 2
    assert (await ours.identify(f"{header}.{rest}")).name == "alice"


async def test_known_keys_go_on_while_the_issuer_is_away(there: TestIssuer, ours: Issuer) -> None:
    """Nobody with a known key is locked out; an unknown key cannot be checked."""
    await ours.identify(there.token())
    there.status = 500
    unknown = there.token(headers={"kid": "new"})

    async def outcome() -> str:
        try:
            await ours.identify(unknown)
        except (InvalidToken, IssuerUnavailable) as error:
            return str(error)
        raise AssertionError

    await until(outcome, lambda said: "openid-configuration answered 500" in said)
    assert (await ours.identify(there.token())).name == "alice"


async def test_issuer_that_was_never_there() -> None:
    """The reason is given: the operator must act, not the owner of the token."""
    async with issuing() as there, following("http://127.0.0.1:1") as ours:
        with pytest.raises(IssuerUnavailable, match=r"cannot fetch the keys of issuer .*: Cannot connect"):
            await ours.identify(there.token())


async def test_discovery_document_of_another_issuer(there: TestIssuer) -> None:
    """It would bring in that one's keys."""
    there.named = "https://elsewhere.example"
    async with following(there.url) as ours:
        with pytest.raises(IssuerUnavailable, match=r"is 'https://elsewhere.example'"):
            await ours.identify(there.token())
