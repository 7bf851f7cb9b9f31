"""`python -m summit_api` as it is run: configured by environment, ended by SIGTERM."""

import asyncio
import os
import re
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest
from support.api_stack import api_stack, health, placed_vm
from support.program import frozen
from support.projecting import publisher
from support.reader import as_reader
from support.waiting import until

from summit_api.access import tokens
from summit_models.subject import HEALTH_BUCKET

UNREACHABLE_NATS = "nats://user:secret-word@127.0.0.1:1"
BACKENDS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'summit-api' AND datname = current_database()"


@asynccontextmanager
async def process(database_url: str, **variables: str) -> AsyncIterator[asyncio.subprocess.Process]:
    environment = {
        "DATABASE_URL": as_reader(database_url),
        "NATS_URL": UNREACHABLE_NATS,
        "API_PORT": "0",
        "API_ANONYMOUS_ROLE": "admin",
        **variables,
    }
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "summit_api", env=os.environ | environment, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
        await child.communicate()


async def address(child: asyncio.subprocess.Process) -> str:
    """The address that it logs."""
    assert child.stderr
    async for line in child.stderr:
        if found := re.search(r"answers at (http://\S+)", line.decode()):
            return found[1]
    raise AssertionError("it ended without an address")


@asynccontextmanager
async def unfinished_request(base_url: str, *, end: str = "") -> AsyncIterator[asyncio.StreamReader]:
    """A client that began a request and never ends it, or ends it and waits for the answer."""
    host, port = base_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET /api/v1/vms HTTP/1.1\r\nHost: 127.0.0.1\r\n{end}".encode())
    yield reader
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


@pytest.mark.parametrize("hanging", [False, True])
async def test_sigterm_ends_it_within_five_seconds(database_url: str, hanging: bool) -> None:
    """With exit code 0, also while a client holds a connection open; and nothing secret is in the log."""
    async with api_stack(database_url) as stack, process(database_url) as child:
        await stack.apply(placed_vm("a"))
        base_url = await address(child)
        async with httpx2.AsyncClient(base_url=base_url) as http:
            assert (await http.get("/readyz")).text.startswith("ok\n[!]nats: not connected")
            answer = await http.get("/api/v1/vms")
            assert answer.json()["items"][0]["stale"] is True  # NATS cannot be reached, the api answers all the same
            assert (await http.head("/api/v1/vms")).headers["Content-Length"] == str(len(answer.content))
            async with unfinished_request(base_url) if hanging else nullcontext():
                started = time.monotonic()
                child.terminate()
                _, log = await child.communicate()
        assert (child.returncode, time.monotonic() - started < 5) == (0, True)
        assert b"secret-word" not in log
        assert b"GET /api" not in log


async def test_sigterm_while_postgres_stands_still_is_an_orderly_end(database_url: str) -> None:
    """A read under way is given up, and its client asked to repeat it; the log has no failure."""
    async with api_stack(database_url) as stack, process(database_url) as child:
        base_url = await address(child)
        async with httpx2.AsyncClient(base_url=base_url) as http, stack.database() as database:
            await http.get("/api/v1/vms")
            pids = [row["pid"] for row in await database.fetch(BACKENDS)]
            with frozen(pids):
                async with unfinished_request(base_url, end="\r\n") as client:
                    await http.get("/livez")  # answered later than that was begun
                    child.terminate()
                    _, log = await asyncio.wait_for(child.communicate(), 5)
                    answer = await client.read()
    assert (child.returncode, b"Traceback" in log) == (0, False), log.decode()
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"/docs#stopping" in answer


async def test_access_must_be_configured(database_url: str) -> None:
    """The default rejects every request, and the log explains why."""
    async with process(database_url, API_ANONYMOUS_ROLE="") as child:
        base_url = await address(child)
        async with httpx2.AsyncClient(base_url=base_url) as http:
            assert (await http.get("/api/v1/vms")).status_code == 401
            assert (await http.get("/livez")).status_code == 200
        child.terminate()
        assert child.stderr
        assert b"stopped" in await child.stderr.read()


async def test_secrets_are_in_no_log(database_url: str, tmp_path: Path) -> None:
    """Tokens and tickets are not logged at any level, nor in the access log."""
    admin, wrong = tokens.new_token(), tokens.new_token()
    variables = {"API_ANONYMOUS_ROLE": "", "API_ADMIN_TOKEN": admin, "LOG_LEVEL": "DEBUG", "API_TICKET_KEY": "k" * 32}
    async with process(database_url, **variables) as child:
        async with httpx2.AsyncClient(base_url=await address(child)) as http:
            good = {"Authorization": f"Bearer {admin}"}
            assert (await http.get("/api/v1/vms", headers=good)).status_code == 200
            assert (await http.get("/api/v1/vms", headers={"Authorization": f"Bearer {wrong}"})).status_code == 401
            ticket = (await http.post("/api/v1/tickets", headers=good)).json()["ticket"]
            assert (await http.get("/api/v1/vms?limit=7", params={"ticket": ticket})).status_code == 401
        child.terminate()
        _, log = await child.communicate()
    assert b"POST /api/v1/tickets" in log
    assert b"ticket=\xe2\x80\xa6" in log
    for secret in (admin, wrong, ticket, "k" * 32):
        assert secret.encode() not in log


async def test_clusters_are_fresh_once_nats_is_there(database_url: str, nats_url: str) -> None:
    """The process listens to the bucket by itself."""
    async with (
        api_stack(database_url) as stack,
        publisher(nats_url) as client,
        process(database_url, NATS_URL=nats_url) as child,
    ):
        await stack.apply(placed_vm("a"))
        bucket = await client.jetstream().key_value(HEALTH_BUCKET)
        async with httpx2.AsyncClient(base_url=await address(child)) as http:

            async def stale() -> bool:
                return bool((await http.get("/api/v1/vms")).json()["items"][0]["stale"])

            assert await stale()
            await bucket.put("dc-solna.vulcan", health(last_contact=datetime.now(UTC)).model_dump_json().encode())
            await until(stale, lambda answer: answer is False)


async def test_port_in_use_is_one_sentence(database_url: str) -> None:
    """It says which setting to change, without a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        async with process(database_url, API_PORT=port) as child:
            _, log = await child.communicate()
    assert child.returncode == 1
    assert f"cannot listen on 127.0.0.1 port {port}" in log.decode()
    assert "Traceback" not in log.decode()
