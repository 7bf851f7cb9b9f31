"""A server that wants more than to answer: to lead us elsewhere, to fill the memory, to forge what people read."""

import asyncio
import gzip
import json
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from support.mirror import mirrored
from support.waiting import until
from support.watched import QUICK

from summit_models.cluster import ConnectionState as State
from summit_models.contract import ClusterName
from summit_simulator.access import kubeconfig
from summit_watcher.kube.bounds import ANSWER_BYTES, MIB
from summit_watcher.kube.connection import ClusterConnection
from summit_watcher.kube.errors import IdleError, OversizedError, StatusError, UnreachableError, WatcherError
from summit_watcher.kube.failure import classify
from summit_watcher.kube.transport import Timeouts
from summit_watcher.settings import TIMES, WatcherTimes

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
JSON = {"Content-Type": "application/json"}


@asynccontextmanager
async def served(handler: Handler) -> AsyncIterator[str]:
    runner = web.ServerRunner(web.Server(handler))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def connect(path: Path, server: str, times: WatcherTimes = TIMES) -> ClusterConnection:
    config = kubeconfig.render(name="c", server=server, user={"token": "t"}, ca_pem=None)
    return ClusterConnection(kubeconfig.write(path, config), name=ClusterName("c"), times=times)


def answering(body: bytes, status: int = 200, **headers: str) -> Handler:
    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=body, status=status, headers=JSON | headers)

    return answer


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_no_redirect_is_followed(tmp_path: Path, status: int, method: str) -> None:
    """A 302 to the loopback API moved a VM, and what an internal host said could be read in the cluster's state."""
    asked: list[str] = []

    async def internal(request: web.BaseRequest) -> web.StreamResponse:
        asked.append(request.path)
        return web.json_response({"message": "internal"})

    async with (
        served(internal) as elsewhere,
        served(answering(b"", status, Location=f"{elsewhere}/secret")) as server,
        connect(tmp_path / "kc", server) as connection,
    ):
        with pytest.raises(StatusError) as raised:
            await (connection.server_version() if method == "GET" else connection.post("/apis/x", {}))
    failure = classify(raised.value)
    assert (failure.state, asked) == (State.BACKOFF, [])
    assert f"{status}" in failure.reason
    assert "a redirect, which is not followed" in failure.reason
    assert elsewhere not in failure.reason


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br"])
async def test_an_answer_that_is_compressed_though_not_asked_for_is_refused(tmp_path: Path, encoding: str) -> None:
    """1 MB on the wire took the process of all clusters to 2.1 GB."""
    bomb = gzip.compress(b'{"gitVersion": "' + b" " * 64 * MIB)
    handler = answering(bomb, **{"Content-Encoding": encoding})
    async with served(handler) as server, connect(tmp_path / "kc", server) as connection:
        tracemalloc.start()
        with pytest.raises(UnreachableError, match=f"answers with Content-Encoding {encoding}"):
            await connection.server_version()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 16 * MIB


async def test_a_compressed_refusal_is_shown_as_its_code(tmp_path: Path) -> None:
    """It is not decoded either."""
    handler = answering(gzip.compress(b" " * 64 * MIB), 503, **{"Content-Encoding": "gzip"})
    async with served(handler) as server, connect(tmp_path / "kc", server) as connection:
        with pytest.raises(StatusError) as raised:
            await connection.server_version()
    assert classify(raised.value).reason.startswith("the API server answered 503 Service Unavailable: a body of")


async def test_an_answer_without_end_is_given_up(tmp_path: Path) -> None:
    """An object has 2 MiB at most, whatever its server sends."""

    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers=JSON)
        await response.prepare(request)
        while request.transport is not None:
            await response.write(b" " * MIB)
        return response

    async with served(endless) as server, connect(tmp_path / "kc", server) as connection:
        with pytest.raises(OversizedError, match="has more than 2 MiB"):
            await connection.identity()
        async with connection.get("/list") as reply:
            with pytest.raises(OversizedError, match=f"has more than {ANSWER_BYTES // MIB} MiB"):
                await reply.body()


HOSTILE = [
    pytest.param({"gitVersion": "v" * 2**20}, id="a version of a megabyte"),
    pytest.param({"gitVersion": "v1\nlevel=error cluster vulcan is gone"}, id="a version that forges a log line"),
    pytest.param({"gitVersion": {"a": 1}}, id="a version that is none"),
]


@pytest.mark.parametrize("answer", HOSTILE)
async def test_a_version_is_one_short_line(tmp_path: Path, answer: object) -> None:
    """Two megabytes in it blinded the cluster's own state, which is an event with a largest size."""
    handler = answering(json.dumps(answer).encode())
    async with served(handler) as server, connect(tmp_path / "kc", server) as connection:
        for version in (await connection.server_version(), await connection.kubevirt_version() or ""):
            assert len(version) <= 100
            assert "\n" not in version


@pytest.mark.parametrize("uid", ["u" * 2**20, "a\nb", 7, None])
async def test_a_uid_that_is_none_identifies_no_cluster(tmp_path: Path, uid: object) -> None:
    """It goes into the log and into every heartbeat."""
    handler = answering(json.dumps({"metadata": {"uid": uid}}).encode())
    async with served(handler) as server, connect(tmp_path / "kc", server) as connection:
        with pytest.raises(UnreachableError, match="not as a Kubernetes API does"):
            await connection.identity()


async def test_json_that_is_nested_without_end_is_a_failure(tmp_path: Path) -> None:
    """The exception of the decoder would end the cluster's task."""
    async with (
        served(answering(b'{"metadata":' * 100_000)) as server,
        connect(tmp_path / "kc", server) as connection,
    ):
        for ask in (connection.identity, connection.server_version):
            with pytest.raises(UnreachableError, match="is not an object"):
                await ask()


async def test_a_list_without_items_deletes_nothing(tmp_path: Path) -> None:
    """An answer of 200 whose items are null, or that is a single object, deleted every VM."""
    item = {"metadata": {"uid": "u", "name": "vm", "namespace": "t", "resourceVersion": "7"}}
    answers: list[dict[str, object]] = [{"kind": "VirtualMachineList", "metadata": {"resourceVersion": "9"}}]
    current = answers[0] | {"items": [item]}
    requests = 0

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal requests
        if "watch" in request.query:
            expired = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}}
            refusal = web.json_response({"kind": "Status", "code": 400, "reason": "BadRequest"}, status=400)
            streams = "sendInitialEvents" in request.query
            return refusal if streams else web.Response(body=json.dumps(expired).encode() + b"\n", headers=JSON)
        requests += 1
        return web.json_response(current)

    async with (
        served(answer) as server,
        connect(tmp_path / "kc", server) as connection,
        mirrored(connection, QUICK) as mirror,
    ):
        await until(lambda: len(mirror.objects) == 1)
        for wrong in (answers[0] | {"items": None}, answers[0], item | {"kind": "VirtualMachine"}):
            current, before = wrong, requests
            await until(lambda before=before: requests > before + 1 and mirror.state is State.BACKOFF)
            assert len(mirror.objects) == 1
            assert "a page of virtualmachines" in (mirror.reason or "")


async def test_what_speaks_no_http_is_not_quoted(tmp_path: Path) -> None:
    """Its greeting may be a secret of another service."""

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"-ERR s3cret\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, connect(tmp_path / "kc", address) as connection:
        with pytest.raises(WatcherError) as raised:
            await connection.server_version()
    assert "s3cret" not in str(raised.value)


BEGINNINGS = [
    pytest.param(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n", id="1xx answers without end"),
    pytest.param(b"HTTP/1.1 200 OK\r\n", b"X-Header: a\r\n", id="headers that drip"),
    pytest.param(b"HTTP/1.1 200 ", b"O", id="a status line that drips"),
]


@pytest.mark.parametrize(("first", "part"), BEGINNINGS)
async def test_a_watch_that_is_never_accepted_is_given_up(tmp_path: Path, first: bytes, part: bytes) -> None:
    """Some byte always comes, so it is never idle: the cluster was synced and had no watch."""
    closed = asyncio.Event()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        while not reader.at_eof() and not writer.is_closing():
            writer.write(part)
            await asyncio.sleep(0.05)
        writer.close()
        closed.set()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    times = WatcherTimes(connect_seconds=0.5)
    async with server, connect(tmp_path / "kc", address, times) as connection, asyncio.timeout(20):
        with pytest.raises(IdleError, match="stopped sending"):
            async with connection.get("/watch", timeouts=Timeouts(idle_seconds=0.5)):
                pass
        await closed.wait()
