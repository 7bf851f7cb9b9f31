"""A request over a limit is answered with a problem, and costs no other client anything."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import cache
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI, Request
from pydantic import SecretStr
from support.api_stack import api_stack, served

from summit_api.app import create_app
from summit_api.http.protocol import ConnectionLimits
from summit_api.limits.clients import Clients
from summit_api.limits.requests import RequestLimits
from summit_api.openapi.document import application
from summit_api.problems.problem import MEDIA_TYPE
from summit_api.query.transaction.errors import QueryTooLongError
from summit_api.query.transaction.read_transaction import ReadModels

SHORT = ConnectionLimits(head_bytes=4096, head_seconds=0.3, stalled_seconds=0.3)
LARGE = b"x" * 1_000_000


@cache  # FastAPI takes 0.1 s to analyse its routes
def app_with_slow_routes(limits: RequestLimits | None = None) -> FastAPI:
    """The api's own application, and routes that take their time."""
    app = create_app(application().state.services, limits=limits)

    @app.get("/slow")
    async def slow() -> None:
        await asyncio.Event().wait()

    @app.post("/count")
    async def count(request: Request) -> int:
        return len(await request.body())

    @app.post("/parse")
    async def parse(content: dict[str, Any]) -> int:
        return len(content)

    @app.get("/large")
    async def large() -> str:
        return "x" * 30_000_000

    return app


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async with served(app_with_slow_routes(RequestLimits(body_bytes=1000, seconds=1.5)), SHORT) as base_url:
        yield int(base_url.rpartition(":")[2])


async def said(port: int, *parts: bytes) -> bytes:
    """All that the server says to these bytes until it closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for part in parts:
        writer.write(part)
    async with asyncio.timeout(30):
        answer = await reader.read()
    writer.close()
    return answer


def problem(answer: bytes) -> tuple[int, str]:
    """Status and detail of an answer that must be a problem."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert f"content-type: {MEDIA_TYPE}".encode() in head
    content = json.loads(body)
    assert content["status"] == int(head.split()[1])
    assert f"content-length: {len(body)}".encode() in head
    return content["status"], content["detail"]


@pytest.mark.parametrize(
    ("request_", "status", "words"),
    [
        (b"GET /livez?" + b"a" * 3000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, "an address can have at most 2048 bytes"),
        (
            b"GET /livez HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 5000 + b"\r\n\r\n",
            431,
            "at most 4096 bytes",
        ),
        (b"GET /livez HTTP/1.1\r\n" + b"X: a\r\n" * 1000 + b"\r\n", 431, "at most 4096 bytes"),
        (b"GET /livez HTTP/1.1\r\nX: " + b"a" * 5000, 431, "at most 4096 bytes"),
        (b"GET /livez?" + b"a" * 5000, 414, "an address can have at most 2048 bytes"),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400, "speaks HTTP/1.1 without TLS"),
        (b"GET /livez HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400, "is not valid HTTP"),
        (b"GET /livez HTTP/1.1\r\nHost: a\r\n", 408, "did not arrive within 0.3 s"),
    ],
)
async def test_head_that_is_too_long_or_wrong_or_late(port: int, request_: bytes, status: int, words: str) -> None:
    """A refusal before there is a request is a problem, too; then the connection is closed."""
    got, detail = problem(await said(port, request_))
    assert (got, words in detail) == (status, True), detail


async def test_silent_connection_is_closed(port: int) -> None:
    """Without an answer: nothing was asked."""
    assert await said(port) == b""


async def test_further_requests_have_their_own_time(port: int) -> None:
    """A connection may live longer than a head may take."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(4):
        writer.write(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"200 OK" in await reader.readuntil(b"ok\n")
        await asyncio.sleep(SHORT.head_seconds / 2)  # what passes is the subject, not waited for
    writer.close()


async def test_body_that_is_too_large(port: int) -> None:
    """Whether its size is declared or not, and whether the route reads it or not."""
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:

        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(3):
                yield b'"' * 500

        for path, content in (("/count", LARGE), ("/count", chunks()), ("/parse", chunks()), ("/livez", LARGE)):
            answer = await http.post(path, content=content)
            assert (answer.status_code, answer.headers["Content-Type"]) == (413, MEDIA_TYPE)
            assert "at most 1000 bytes" in answer.json()["detail"]
        assert (await http.post("/count", content=b"x" * 1000)).json() == 1000


async def test_body_that_does_not_come(port: int) -> None:
    """The client is late, not the api."""
    answer = await said(port, b"POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\nConnection: close\r\n\r\nabc")
    assert problem(answer) == (408, "the request did not arrive completely within 1.5 s")


async def test_answer_that_does_not_come(port: int) -> None:
    """Its work is cancelled, and the client may try again."""
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        answer = await http.get("/slow")
    assert (answer.status_code, answer.json()["title"], answer.headers["Retry-After"]) == (503, "Timeout", "2")


async def test_client_that_does_not_read_is_cut_off(port: int) -> None:
    """Its answer would be held in memory for as long as it likes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    writer.write(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
    await reader.readexactly(100)
    transport = writer.transport
    transport.pause_reading()  # type: ignore[attr-defined]
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        await http.get("/slow")  # longer than it may stall
    transport.resume_reading()  # type: ignore[attr-defined]
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await reader.readexactly(30_000_000)
    transport.abort()


async def test_more_requests_than_there_are_places() -> None:
    """Further requests and probes of a load balancer get a 503; places are given back."""
    app = app_with_slow_routes(RequestLimits(concurrent=1, seconds=0.5))
    async with served(app, SHORT) as base_url, httpx2.AsyncClient(base_url=base_url) as http:
        first = asyncio.create_task(http.get("/slow"))
        while (answer := await http.get("/health")).status_code == 200:
            pass
        assert (answer.status_code, answer.json()["title"]) == (503, "Busy")
        await first
        assert (await http.get("/health")).status_code == 200


async def test_client_that_asks_too_often(database_url: str) -> None:
    """429 with the seconds to wait, also for wrong tokens; probes are not counted."""
    async with api_stack(database_url) as stack:
        stack.app.state.services = replace(stack.app.state.services, clients=Clients(requests_per_second=0.1, burst=2))
        answers = [await stack.http.get("/api/v1/status") for _ in range(3)]
        answers.append(await stack.http.get("/api/v1/status", headers={"Authorization": "Bearer x"}))
        assert [answer.status_code for answer in answers] == [200, 200, 429, 429]
        assert (answers[2].json()["title"], answers[2].headers["Content-Type"]) == ("Too many requests", MEDIA_TYPE)
        assert re.fullmatch(r"address 127\.0\.0\.1 may send 0\.1 requests per second", answers[2].json()["detail"])
        assert 9 <= int(answers[2].headers["Retry-After"]) <= 10
        assert (await stack.http.get("/readyz")).status_code == 200


async def test_query_that_takes_too_long(database_url: str) -> None:
    """It is ended by Postgres, and the connection serves the next one."""
    async with api_stack(database_url):
        read_models = ReadModels(SecretStr(database_url), query_seconds=0.1)
        try:
            with pytest.raises(QueryTooLongError):
                async with read_models.transaction() as transaction:
                    await transaction.fetch("SELECT pg_sleep(30)")
            async with read_models.transaction() as transaction:
                assert await transaction.fetch("SELECT 1")
        finally:
            await read_models.close()
