"""One connection, as its bytes are: what is answered, in which order, and when it is closed."""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from functools import cache
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from support.api_stack import served
from support.waiting import until

from summit_api.app import create_app
from summit_api.http.protocol import ConnectionLimits
from summit_api.limits.requests import RequestLimits
from summit_api.openapi.document import application

LIMITS = ConnectionLimits(head_bytes=4096, head_seconds=1.0, linger_seconds=0.5)
GOOD = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"
SLOW = b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED = b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


@cache  # FastAPI takes 0.1 s to analyse its routes
def app_that_echoes() -> FastAPI:
    """The api's own application, and routes that show what they got."""
    app = create_app(application().state.services, limits=RequestLimits(body_bytes=100_000, seconds=2.0))

    @app.post("/echo")
    async def echo(request: Request) -> dict[str, Any]:
        body = await request.body()
        return {"body": body.decode(), "headers": sorted({*request.headers})}

    @app.get("/slow")
    async def slow() -> str:
        await asyncio.sleep(0.3)  # work that is under way while the client sends on
        return "slow"

    ended: list[bool] = []

    async def pieces() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x"
                await asyncio.sleep(0.01)
        finally:
            ended.append(True)

    @app.get("/feed")
    async def feed() -> StreamingResponse:
        return StreamingResponse(pieces())

    @app.get("/ended")
    async def how_many_ended() -> int:
        return len(ended)

    @app.post("/unread")
    async def unread() -> str:
        return "not read"

    return app


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async with served(app_that_echoes(), LIMITS) as base_url:
        yield int(base_url.rpartition(":")[2])


async def exchange(port: int, *parts: bytes) -> list[tuple[int, bytes, bytes]]:
    """Status, head and body of each answer to these bytes, until the api closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for part in parts:
        writer.write(part)
        await asyncio.sleep(0.02)  # so that the parts arrive one by one
    async with asyncio.timeout(20):
        received = await reader.read()
    writer.close()
    return answers(received)


def answers(received: bytes) -> list[tuple[int, bytes, bytes]]:
    found = []
    while received:
        head, _, rest = received.partition(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        found.append((int(head.split()[1]), head.lower(), rest[:length]))
        received = rest[length:]
    return found


def statuses(found: Sequence[tuple[int, bytes, bytes]]) -> list[int]:
    return [status for status, *_ in found]


async def drip(port: int, begin: bytes, piece: bytes) -> tuple[bytes, bool]:
    """All that is answered to a client that sends such pieces for ever, and whether the connection is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(begin)

    async def send() -> None:
        while True:
            writer.write(piece)
            await asyncio.sleep(0.05)

    sending = asyncio.create_task(send())
    try:
        async with asyncio.timeout(20):
            answer = await reader.read()
        await until(lambda: _is_closed(sending, writer), bool)
        return answer, True
    finally:
        sending.cancel()
        writer.close()


async def _is_closed(sending: asyncio.Task[None], writer: asyncio.StreamWriter) -> bool:
    return writer.transport.is_closing() or sending.done()


async def test_body_that_drips_is_answered_408_and_its_connection_closed(port: int) -> None:
    """Twenty of twenty stayed open: each byte looked like the life of an idle connection."""
    begin = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 90000\r\n\r\n"
    ends = await asyncio.gather(*(drip(port, begin, b"x") for _ in range(20)))
    for answer, closed in ends:
        ((status, head, _),) = answers(answer)
        assert (status, b"connection: close" in head, closed) == (408, True, True)


@pytest.mark.parametrize(
    ("begin", "piece", "status"),
    [
        (b"POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 90000\r\n\r\n", b"x", 200),
        (b"POST /none HTTP/1.1\r\nHost: a\r\nContent-Length: 90000\r\n\r\n", b"x", 404),
        (CHUNKED, b"1\r\nx\r\n", 408),
        (CHUNKED + b"0\r\n", b"X: y\r\n", 408),
        (CHUNKED + b"1;", b"e" * 2500, 431),
        (CHUNKED + b"0\r\nX: ", b"e" * 2500, 431),
        (GOOD, b"\r\n", 200),
    ],
)
async def test_nothing_that_drips_keeps_a_connection(port: int, begin: bytes, piece: bytes, status: int) -> None:
    """Whether the body is read or not; also chunks, their extensions, trailers, and empty lines between requests."""
    answer, closed = await drip(port, begin, piece)
    assert (statuses(answers(answer)), closed) == ([status], True)


@pytest.mark.parametrize("protocol", [b"h2c", b"websocket", b"TLS/1.0"])
async def test_request_that_asks_for_another_protocol_keeps_its_body(port: int, protocol: bytes) -> None:
    """Java's client asks for h2c with its first request. The body was dropped, or run as a request of its own."""
    smuggled = b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n"
    head = (
        b"POST /echo HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: "
        + protocol
        + b"\r\nHTTP2-Settings: AAMAAABk\r\nContent-Length: %d\r\n\r\n" % len(smuggled)
    )
    end = b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    request = head + smuggled
    for parts in ([request + end], [head, smuggled, end], [request[:40], request[40:-9], request[-9:] + end]):
        first, last = await exchange(port, *parts)
        assert (first[0], json.loads(first[2])["body"]) == (200, smuggled.decode())
        assert (last[0], last[2]) == (200, b"ok\n")


async def test_get_that_asks_for_another_protocol_is_answered(port: int) -> None:
    """A server may ignore the wish."""
    upgrade = b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    assert statuses(await exchange(port, upgrade + upgrade + b"rubbish\r\n\r\n")) == [200, 200, 400]


@pytest.mark.parametrize("good", [GOOD, GOOD * 3, SLOW, GOOD + SLOW + SLOW])
@pytest.mark.parametrize("split", [True, False])
async def test_good_request_before_rubbish_gets_its_answer(port: int, good: bytes, *, split: bool) -> None:
    """Then the rubbish is answered, and the connection closed; it took the answer of the good one away."""
    rubbish = b"\x00\x01 rubbish\r\n\r\n"
    found = await exchange(port, *([good, rubbish] if split else [good + rubbish]))
    assert statuses(found) == [200] * good.count(b"GET") + [400]
    assert b"connection: close" in found[-1][1]


async def test_rubbish_in_a_body_is_answered_400(port: int) -> None:
    """After the answers to the requests before it; its own work ends, without a traceback in the log."""
    for before, expected in ((b"", [400]), (GOOD, [200, 400]), (SLOW, [200, 400])):
        for parts in ([before + CHUNKED + b"zz\r\n"], [before + CHUNKED, b"3\r\nabc\r\n", b"zz\r\n"]):
            assert statuses(await exchange(port, *parts)) == expected, (before, parts)


async def test_client_that_leaves_in_the_middle_of_a_body_is_no_failure(
    port: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Each would fill the log with a traceback."""
    for _ in range(3):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    await exchange(port, b"GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert caplog.records == []


@pytest.mark.parametrize("first", [b"/livez", b"/slow", b"/feed"])
async def test_client_that_leaves_before_the_answers_to_several_requests_is_no_failure(
    port: int, caplog: pytest.LogCaptureFixture, first: bytes
) -> None:
    """The first one's work ended with a traceback: only the last one learnt that the connection was lost."""
    for _ in range(5):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(SLOW.replace(b"/slow", first) + GOOD * 50)
        if first != b"/slow":
            await reader.read(1)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.close()
    await exchange(port, b"GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    if first == b"/feed":
        await until(lambda: _ended(port), lambda ended: ended == b"5")
    assert caplog.records == []


async def _ended(port: int) -> bytes:
    ((_, _, body),) = await exchange(port, b"GET /ended HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    return body.strip()


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"Content-Length: 3\r\nTransfer-Encoding: chunked", "valid HTTP"),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 3", "valid HTTP"),
        (b"Content-Length: 3\r\nContent-Length: 3", "valid HTTP"),
        (b"Content-Length: 3\r\nContent-Length: 30", "valid HTTP"),
        (b"Content-Length: 3, 3", "valid HTTP"),
        (b"Content-Length: +3", "valid HTTP"),
        (b"Transfer-Encoding: xchunked", "Transfer-Encoding"),
        (b"Transfer-Encoding: gzip, chunked", "Transfer-Encoding"),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "valid HTTP"),
        (b"Transfer-Encoding: identity", "Transfer-Encoding"),
        (b"X : y", "valid HTTP"),
        (b"X: y\r\n folded", "valid HTTP"),
        (b"X: a\x00b", "valid HTTP"),
        (b"Host: b", "Host can be there once"),
        (b"Authorization: Bearer a\r\nAuthorization: Bearer b", "Authorization can be there once"),
        (b"Origin: https://a\r\norigin: https://b", "Origin can be there once"),
    ],
)
async def test_ambiguous_head_is_refused(port: int, head: bytes, reason: str) -> None:
    """A proxy may have understood it otherwise, and may have checked the other value."""
    found = await exchange(port, b"POST /echo HTTP/1.1\r\nHost: a\r\n" + head + b"\r\n\r\n0\r\n\r\n" + GOOD)
    assert statuses(found) == [400]
    assert reason in json.loads(found[0][2])["detail"]


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (b"GET /livez HTTP/1.1\r\n\r\n", 400),
        (b"GET /livez HTTP/1.0\r\n\r\n", 200),
        (b"GET /livez\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"CONNECT evil:443 HTTP/1.1\r\nHost: evil:443\r\n\r\n", 400),
        (b"GET http://evil/livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 400),
        (b"GET http://A:80/livez HTTP/1.1\r\nHost: a:80\r\nConnection: close\r\n\r\n", 200),
        (b"OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 404),
        (b"GET //evil/livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 404),
        (b"GET livez HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"POST /echo HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"GET /livez HTTP/1.1\nHost: a\n\n", 400),
    ],
)
async def test_addresses_and_versions(port: int, request_: bytes, expected: int) -> None:
    """An address that names a host must name that of the header; HTTP/1.1 without a host is no request."""
    assert statuses(await exchange(port, request_)) == [expected]


@pytest.mark.parametrize(
    "begin", [b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", b"get / HTTP/1.1\r\n", b"\x16\x03\x01\x02\x00\x01"]
)
async def test_unknown_method_and_tls_are_named(port: int, begin: bytes) -> None:
    """They were called invalid HTTP/1.1, which a person cannot mend."""
    ((status, _, body),) = await exchange(port, begin)
    assert (status, b"a method of HTTP, such as GET" in body, b"without TLS" in body) == (400, True, True)


async def test_fields_after_the_body_are_no_headers(port: int) -> None:
    """A proxy has not seen them when it checked who asks."""
    body = b"3;a=b\r\nabc\r\n0\r\nAuthorization: Bearer x\r\n\r\n"
    found = await exchange(port, CHUNKED + body + GOOD + b"\x00\r\n\r\n")
    assert statuses(found) == [200, 200, 400]
    shown = json.loads(found[0][2])
    assert (shown["body"], "authorization" in shown["headers"]) == ("abc", False)


async def test_large_body_that_is_refused_still_gets_its_answer(port: int) -> None:
    """The api reads on for a moment: a reset connection would take the answer away."""
    head = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n"
    found = await exchange(port, head, *[b"x" * 500_000] * 6)
    assert statuses(found) == [413]
