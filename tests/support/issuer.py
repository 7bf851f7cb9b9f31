"""An OpenID Connect issuer over real HTTP: it signs tokens, serves its keys, and can be made to misbehave."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from summit_api.access.oidc import Issuer
from summit_runtime.waiting import end

AUDIENCE = "summit-connect"

_MAKE = {
    "RS256": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}


class TestIssuer:
    """Its keys by their id. `fetches` counts how often they were asked for."""

    __test__ = False

    def __init__(self) -> None:
        self.url = ""
        self.named: str | None = None
        self.keys: dict[str, tuple[str, Any]] = {}
        self.extra_keys: list[dict[str, Any]] = []
        self.fetches = 0
        self.status = 200
        self.raw: dict[str, Callable[[web.Request], Awaitable[web.StreamResponse]]] = {}
        """What it answers at a path instead."""
        self.add_key("first", "RS256")

    def add_key(self, key_id: str, algorithm: str) -> None:
        self.keys[key_id] = (algorithm, _MAKE[algorithm]())

    def token(self, key_id: str = "first", *, headers: dict[str, Any] | None = None, **claims: Any) -> str:
        """A valid token, except for these `claims`; a claim that is None is left out."""
        now = datetime.now(UTC)
        standard = {"iss": self.url, "aud": AUDIENCE, "sub": "alice", "exp": now + timedelta(minutes=5), "iat": now}
        given = {name: value for name, value in (standard | claims).items() if value is not None}
        algorithm, key = self.keys[key_id]
        return jwt.encode(given, key, algorithm=algorithm, headers={"kid": key_id} | (headers or {}))

    def _jwks(self) -> list[dict[str, Any]]:
        keys = []
        for key_id, (algorithm, key) in self.keys.items():
            described = jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key())
            keys.append(json.loads(described) | {"kid": key_id, "use": "sig"})
        return keys + self.extra_keys

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if instead := self.raw.get(request.path):
            return await instead(request)
        return await (self.jwks if request.path == "/keys" else self.discovery)(request)

    async def discovery(self, _: web.Request) -> web.Response:
        document = {"issuer": self.named or self.url, "jwks_uri": f"{self.url}/keys"}
        return web.json_response(document, status=self.status)

    async def jwks(self, _: web.Request) -> web.Response:
        self.fetches += 1
        return web.json_response({"keys": self._jwks()})


@asynccontextmanager
async def issuing() -> AsyncIterator[TestIssuer]:
    """An issuer on a free port of the loopback."""
    issuer = TestIssuer()
    app = web.Application()
    app.router.add_get("/{path:.*}", issuer.answer)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    issuer.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield issuer
    finally:
        await runner.cleanup()


@asynccontextmanager
async def following(url: str, *, groups_claim: str = "groups") -> AsyncIterator[Issuer]:
    """The keys of an issuer as the api keeps them."""
    issuer = Issuer(issuer=url, audience=AUDIENCE, name_claim="sub", groups_claim=groups_claim)
    task = asyncio.create_task(issuer.keys.follow())
    try:
        yield issuer
    finally:
        await end(task)
