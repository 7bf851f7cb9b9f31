"""The form of every answer: a newline at its end, its sentence once, and gzip where it is large and wanted."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from support.api_stack import NOW, Stack, api_stack, health, placed_vm, served
from support.published import CLUSTER, datacenter_event, migration_event
from support.waiting import DEADLINE_SECONDS

from summit_api.openapi.description import roles

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get")
BROWSER = {"Accept-Encoding": "gzip, deflate, br, zstd"}
PLAIN = {"Accept-Encoding": "identity"}


@pytest.fixture
async def stack(database_url: str) -> AsyncIterator[Stack]:
    """A fleet whose lists are large enough to be compressed."""
    async with api_stack(database_url) as stack:
        vms = [placed_vm(f"vm-{number:03d}", created_at=NOW) for number in range(50)]
        await stack.apply(datacenter_event(), migration_event("m"), *vms)
        stack.report(health(CLUSTER, last_contact=NOW))
        yield stack


@pytest.fixture
async def http(stack: Stack) -> AsyncIterator[httpx2.AsyncClient]:
    """The api as it is served. An answer whose length is wrong does not reach its client."""
    async with served(stack.app) as base_url, httpx2.AsyncClient(base_url=base_url, timeout=20) as http:
        yield http


async def test_prompt_of_a_shell_follows_on_a_line_of_its_own(stack: Stack, http: httpx2.AsyncClient) -> None:
    """Every text that any route answers with, to any method, ends with a newline; so do errors."""
    paths = {re.sub(r"{\w+}", "x", path) for _, path in roles(stack.app)} | {"/nowhere", "/api/v1/vms/x/y/z"}
    for path in sorted(paths - {"/api/v1/events"}):
        for method in METHODS:
            answer = await http.request(method, path)
            assert answer.status_code < 500, (method, path, answer.text)
            if method == "HEAD" or answer.status_code == 204:
                assert answer.content == b""
            else:
                assert answer.text.endswith("\n"), (method, path, answer.text)
                assert not answer.text.endswith("\n\n"), (method, path)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"rubbish\r\n\r\n", 400),
        (b"GET /livez HTTP/1.1\r\n\r\n", 400),
        (b"POST /api/v1/migrate HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n", 413),
        (b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 70_000 + b"\r\n\r\n", 431),
        (b"OPTIONS /api/v1/vms HTTP/1.0\r\nOrigin: https://a\r\nAccess-Control-Request-Method: GET\r\n\r\n", 200),
        (b"OPTIONS /api/v1/vms HTTP/1.0\r\nOrigin: https://a\r\nAccess-Control-Request-Method: BREW\r\n\r\n", 400),
    ],
)
async def test_refusal_before_any_route_ends_with_a_newline(
    http: httpx2.AsyncClient, request_: bytes, status: int
) -> None:
    """Whoever refuses: the parser, a limit, or the check of the page that asks."""
    reader, writer = await asyncio.open_connection("127.0.0.1", http.base_url.port)
    writer.write(request_)
    async with asyncio.timeout(DEADLINE_SECONDS):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert body.endswith(b"\n")
    assert f"content-length: {len(body)}".encode() in head.lower()


@pytest.mark.parametrize(
    ("method", "path", "once_more"),
    [
        ("GET", "/vms/none", None),
        ("GET", "/vms?limit=501", None),
        ("GET", "/vms?cursor=x", None),
        ("GET", "/vms?sort=name&sort=id", None),
        ("GET", "/vms/none/events", None),
        ("GET", "/clusters/none/events", None),
        ("GET", "/nowhere", None),
        ("GET", "/migrations/none", "error"),
        ("GET", "/migrations?direction=up", "error"),
        ("GET", "/migrations/direction/up", "error"),
        ("PATCH", "/admin/datacenters/none", "error"),
        ("DELETE", "/admin/datacenters/dc-solna/vms/none", "error"),
        ("POST", "/migrate", "message"),
    ],
)
async def test_sentence_of_an_error_is_not_there_three_times(
    stack: Stack, method: str, path: str, once_more: str | None
) -> None:
    """It is in `detail`, or in `errors` if a field is wrong; and once more only where the original has it."""
    body = {"vmId": "a", "fromDC": "b", "toDC": "b"} if method != "GET" else None
    problem = (await stack.http.request(method, f"/api/v1{path}", json=body)).json()
    sentences = list(texts({name: value for name, value in problem.items() if name not in ("title", "instance")}))
    expected = problem["detail"] if once_more is None else problem[once_more]
    assert sentences.count(expected) == (1 if once_more is None else 2), problem
    assert not [one for one in sentences for other in sentences if one != other and other in one], problem
    assert {name for name in ("error", "message") if name in problem} == {once_more} - {None}


def texts(value: Any) -> list[str]:
    """Each text of some length in an answer."""
    match value:
        case dict():
            return [text for member in value.values() for text in texts(member)]
        case list():
            return [text for item in value for text in texts(item)]
        case str() if len(value) > 12:
            return [value]
    return []


async def test_large_list_is_small_as_gzip(http: httpx2.AsyncClient) -> None:
    """The same text comes out of it, and caches learn that the answer depends on what the client accepts."""
    for path in ("/api/v1/datacenters", "/api/v1/vms", "/openapi.json", "/docs", "/metrics"):
        plain, packed = await http.get(path, headers=PLAIN), await http.get(path, headers=BROWSER)
        assert packed.headers["Content-Encoding"] == "gzip"
        assert int(packed.headers["Content-Length"]) == packed.num_bytes_downloaded < len(plain.content) / 3
        assert "Content-Encoding" not in plain.headers
        assert all("Accept-Encoding" in answer.headers["Vary"] for answer in (plain, packed))
        assert packed.text == plain.text or path == "/metrics"  # which counts these requests


@pytest.mark.parametrize(
    ("accepted", "is_gzip"),
    [
        ("gzip", True),
        ("GZIP;q=0.1", True),
        ("br, gzip;q=0.8, *;q=0.1", True),
        ("*", True),
        ("x-gzip", True),
        ("identity;q=0.5, gzip;q=1.0", True),
        ("", False),
        ("identity", False),
        ("br", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000, *", False),
        ("*;q=0", False),
        ("identity;q=1, gzip;q=0.5", False),
        ("gzip;q=much", False),
        ("gzip;q=nan", False),
        ("notgzip", False),
        (",;=,", False),
    ],
)
async def test_refusal_of_gzip_counts(stack: Stack, accepted: str, *, is_gzip: bool) -> None:
    """`gzip;q=0` got gzip."""
    answer = await stack.http.get("/api/v1/vms", headers={"Accept-Encoding": accepted})
    assert (answer.headers.get("Content-Encoding") == "gzip") is is_gzip


async def test_unchanged_list_is_304_in_either_form(http: httpx2.AsyncClient) -> None:
    """One weak tag stands for both, and a 304 has the headers of its 200."""
    for path in ("/api/v1/datacenters", "/api/v1/vms"):
        first = await http.get(path, headers=BROWSER)
        tag = {"If-None-Match": first.headers["ETag"]}
        for accepted in (BROWSER, PLAIN):
            same = await http.get(path, headers=accepted | tag)
            assert (same.status_code, same.content, same.headers["ETag"]) == (304, b"", first.headers["ETag"])
            assert "Content-Encoding" not in same.headers
            assert same.headers["Vary"] == first.headers["Vary"]


async def test_head_has_the_headers_of_the_gzip(http: httpx2.AsyncClient) -> None:
    """HEAD says how long the answer to the same GET is."""
    get, head = await http.get("/api/v1/vms", headers=BROWSER), await http.head("/api/v1/vms", headers=BROWSER)
    assert head.content == b""
    for name in ("Content-Length", "Content-Encoding", "ETag", "Vary"):
        assert head.headers[name] == get.headers[name]


async def test_small_answer_stays_as_it_is(http: httpx2.AsyncClient) -> None:
    """Gzip would make it longer. A ticket, the one secret in an answer, is among them."""
    answers = [await http.get(path, headers=BROWSER) for path in ("/api/v1/status", "/livez", "/api/v1/vms/none")]
    for answer in (*answers, await http.post("/api/v1/tickets", headers=BROWSER)):
        assert "Content-Encoding" not in answer.headers


async def test_feed_is_sent_at_once_to_a_client_that_accepts_gzip(http: httpx2.AsyncClient) -> None:
    """A compressor would keep messages until it has enough of them."""
    async with http.stream("GET", "/api/v1/events", headers=BROWSER) as feed, asyncio.timeout(DEADLINE_SECONDS):
        assert "Content-Encoding" not in feed.headers
        async for line in feed.aiter_lines():
            if line == "event: hello":
                break
