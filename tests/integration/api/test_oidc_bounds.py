"""What a broken or hostile issuer can do: its answer is a reason in the log and 503 for unknown keys, never more."""

import asyncio
import base64
import gzip
import json
import resource
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from support.issuer import TestIssuer, following, issuing
from support.waiting import until

from summit_api.access.oidc import InvalidToken, Issuer
from summit_api.access.principal import Principal, Role
from summit_api.access.signing_keys import IssuerUnavailable

DISCOVERY = "/.well-known/openid-configuration"
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture
async def there() -> AsyncIterator[TestIssuer]:
    async with issuing() as issuer:
        yield issuer


def text(body: bytes | str, status: int = 200, **headers: str) -> Answer:
    """An answer with these bytes."""

    async def answer(_: web.Request) -> web.StreamResponse:
        content = body.encode() if isinstance(body, str) else body
        return web.Response(body=content, status=status, headers={"Content-Type": "application/json", **headers})

    return answer


async def endless(request: web.Request) -> web.StreamResponse:
    """A key set of 400 MB, in chunks, as one took the api to 1.6 GB."""
    answer = web.StreamResponse()
    await answer.prepare(request)
    await answer.write(b'{"keys":[')
    for _ in range(400):
        await answer.write(b'"' + b"x" * 1_000_000 + b'",')
    return answer


async def never(request: web.Request) -> web.StreamResponse:
    """The head of an answer, and no more."""
    answer = web.StreamResponse()
    await answer.prepare(request)
    await answer.write(b"{")
    await asyncio.Event().wait()
    return answer


async def outcome(ours: Issuer, token: str) -> str:
    try:
        return (await ours.identify(token)).name
    except (InvalidToken, IssuerUnavailable) as error:
        return f"{type(error).__name__}: {error}"


HOSTILE: dict[str, tuple[Answer, str]] = {
    "400 MB": (endless, "more than 1000000 bytes"),
    "nested": (text('{"keys":' + "[" * 400_000 + "]" * 400_000 + "}"), "cannot be read"),
    "gzip": (text(gzip.compress(b" " * 500_000_000, 1), **{"Content-Encoding": "gzip"}), "encoding 'gzip'"),
    "unknown charset": (text(b"\xff\xfe{}", **{"Content-Type": "application/json; charset=x-none"}), "cannot be read"),
    "half a surrogate": (text(r'{"keys":["\ud800"]}'), "cannot be read"),
    "another type": (text("[1]"), "cannot be read"),
    "null": (text('{"keys":null}'), "cannot be read"),
    "a number without end": (text('{"keys":[' + "9" * 900_000 + "]}"), "no key for"),
    "too many keys": (text(json.dumps({"keys": [{"kty": "RSA"}] * 101})), "101 keys, and at most 100"),
    "redirect": (text("", 302, Location="/elsewhere"), "answered 302"),
    "nothing": (text(""), "cannot be read"),
    "error": (text("", 500), "answered 500"),
}


async def test_hostile_document_is_a_reason_and_costs_nothing() -> None:
    """Known keys stay valid, and a token with another key is accepted once the issuer is well again."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    await asyncio.gather(*(_survives(case, path) for case in HOSTILE for path in ("/keys", DISCOVERY)))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB, of 24 issuers and their clients


async def _survives(case: str, path: str) -> None:
    answer, reason = HOSTILE[case]
    async with issuing() as there, following(there.url) as ours:
        known = there.token()
        assert await outcome(ours, known) == "alice"
        there.raw |= {path: answer, "/elsewhere": there.jwks}
        there.add_key("second", "ES256")
        new = there.token("second")
        told = await until(lambda: outcome(ours, new), lambda said: "IssuerUnavailable" in said)
        assert reason in told or (path == DISCOVERY and "cannot be read" in told), (case, path)
        assert len(told) < 500
        assert await outcome(ours, known) == "alice"
        del there.raw[path]
        assert await until(lambda: outcome(ours, new), lambda said: said == "alice")


async def test_issuer_that_never_ends_its_answer(there: TestIssuer) -> None:
    """The time for a document ends, whatever arrives."""
    there.raw["/keys"] = never
    async with following(there.url) as ours:
        assert "cannot fetch the keys" in await until(lambda: outcome(ours, there.token()), lambda s: "cannot" in s)


@pytest.mark.parametrize(
    "key",
    [
        {"kty": "RSA", "alg": "none", "n": "AQAB", "e": "AQAB"},
        {"kty": "oct", "alg": "none", "k": ""},
        {"kty": "none", "alg": "none"},
        {"kty": "RSA", "n": "A" * 100_000, "e": "AQAB"},
        {"kty": "RSA", "n": "_" * 700, "e": "_" * 700},
        {"kty": "RSA", "n": "\u2603", "e": "AQAB"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "EC", "crv": 3, "x": [], "y": {}},
        {"kty": "OKP", "crv": "Ed448", "x": "AA"},
        {"kty": "OKP", "crv": "Ed25519", "x": "A" * 43, "d": "not base64"},
        {"kty": ["RSA"], "use": 3},
        {"kty": "RSA", "alg": "RS256\nforged", "n": "AQAB", "e": "AQAB"},
        None,
        "RSA",
        [[[[]]]],
    ],
)
async def test_key_that_cannot_be_used_does_not_end_the_api(there: TestIssuer, key: Any) -> None:
    """One with `alg: none` did. It costs only itself."""
    there.extra_keys = [key]
    async with following(there.url) as ours:
        assert (await ours.identify(there.token())).name == "alice"


async def test_keys_are_fetched_from_nowhere_else(there: TestIssuer) -> None:
    """Neither from an address that somebody on the way can change, nor from one that is no address of the web."""
    for elsewhere in ("http://example.com/keys", "file:///etc/passwd", "ftp://127.0.0.1/", "", "http://[::1"):
        there.raw[DISCOVERY] = text(json.dumps({"issuer": there.url, "jwks_uri": elsewhere}))
        async with following(there.url) as ours:
            said = await until(lambda ours=ours: outcome(ours, there.token()), lambda said: "cannot" in said)
            assert "no https:// address" in said or "Invalid" in said


async def test_password_of_netrc_is_not_sent_to_the_issuer(
    there: TestIssuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It belongs to another program, and a `default` entry to every host."""
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    sent = []

    async def noting(request: web.Request) -> web.StreamResponse:
        sent.append(request.headers.get("Authorization"))
        return await there.jwks(request)

    there.raw["/keys"] = noting
    async with following(there.url) as ours:
        assert (await ours.identify(there.token())).name == "alice"
    assert set(sent) == {None}


def made_up(header: str, payload: str = "{}") -> str:
    parts = (base64.urlsafe_b64encode(part.encode()).rstrip(b"=").decode() for part in (header, payload))
    return ".".join([*parts, "AAAA"])


@pytest.mark.parametrize(
    "token",
    [
        made_up("[" * 20_000 + "]" * 20_000),
        made_up('{"alg":"RS256","kid":"first","x":' + "[" * 20_000 + "]" * 20_000 + "}"),
        made_up(r'{"alg":"RS256","kid":"\ud800"}'),
        made_up('{"alg":"RS256","kid":"first","crit":["b64"],"b64":false}'),
        made_up('{"alg":"RS256","kid":1e999}'),
        made_up('{"alg":"RS256","kid":' + "9" * 5000 + "}"),
        made_up("null"),
        "\xe9.\xe9.\xe9",
        "..",
    ],
)
async def test_token_that_anybody_can_make_up_is_refused(there: TestIssuer, token: str) -> None:
    """A header that is nested deeply was a failure of the api, with a traceback in its log."""
    async with following(there.url) as ours:
        await ours.identify(there.token())
        with pytest.raises(InvalidToken):
            await ours.identify(token)


async def test_infinite_end_of_a_token_is_refused(there: TestIssuer) -> None:
    """JSON of Python has it, and no clock has."""
    async with following(there.url) as ours:
        assert "InvalidToken" in await outcome(ours, there.token(exp=float("inf")))


async def test_newline_or_surrogate_in_a_name_reaches_neither_log_nor_answer(there: TestIssuer) -> None:
    """A newline forged a line of the log, and half a surrogate pair was a failure of the api."""
    for name in ("eve\n2026-11-29 ERROR forged", "\ud800", "x" * 10_000):
        async with following(there.url) as ours:
            identity = await ours.identify(there.token(sub=name))
        shown = Principal(f"oidc:{identity.name}", Role.VIEWER).name
        assert shown.isprintable()
        assert len(shown.encode()) <= 250
