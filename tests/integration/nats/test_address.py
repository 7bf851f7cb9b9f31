"""Connecting by NATS_URL, to real servers: lists, encoded passwords, TLS that is not there."""

import asyncio
from pathlib import Path

import pytest
from pydantic import SecretStr
from support.nats_server import nats_server
from support.waiting import until

from summit_runtime.nats.connection import bus
from summit_runtime.waiting import end
from summit_standalone.embedded.server_process import free_port


async def test_a_list_connects_to_whichever_server_answers(nats_url: str) -> None:
    """The other servers may be away, whatever their place in the list."""
    away = f"nats://127.0.0.1:{free_port()}"
    for servers in (f"{away},{nats_url}", f"{nats_url}, {away}"):
        async with asyncio.timeout(10), bus.connected(SecretStr(servers), name="test") as client:
            assert client.is_connected


async def test_a_list_of_servers_that_are_away_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """The line names all of them and what waits, and no password."""
    ports = free_port(), free_port()
    servers = ",".join(f"nats://summit:s3cret@127.0.0.1:{port}" for port in ports)
    connecting = asyncio.create_task(bus.connect(SecretStr(servers), name="test"))
    await until(lambda: "cannot be reached" in caplog.text)
    await end(connecting)
    (line,) = [record.getMessage() for record in caplog.records]
    assert all(f"nats://127.0.0.1:{port}" in line for port in ports)
    assert line.endswith(": publishing and reading wait; trying again")
    assert "s3cret" not in line


async def test_a_percent_encoded_password_is_decoded(tmp_path: Path) -> None:
    """The server knows it as it is; in an address its special characters are encoded."""
    users = 'authorization { users: [{ user: "us@er", password: "p@ss#w/rd%1" }] }'
    async with nats_server(tmp_path, more=users) as (address, _):
        url = f"nats://us%40er:p%40ss%23w%2Frd%251@{address}"
        async with asyncio.timeout(10), bus.connected(SecretStr(url), name="test") as client:
            assert client.is_connected


async def test_a_wrong_password_is_logged_as_one(nats_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """The server was said to be away, with `nats: 'Authorization Violation'` as the reason."""
    address = nats_url.rpartition("@")[2]
    connecting = asyncio.create_task(bus.connect(SecretStr(f"nats://summit:guess@{address}"), name="test"))
    await until(lambda: "cannot be reached" in caplog.text)
    await end(connecting)
    line = caplog.records[0].getMessage()
    assert line.startswith(
        f"NATS at nats://{address} cannot be reached (it refuses the user and password of NATS_URL): "
    )


async def test_tls_to_a_server_without_tls_sends_no_credentials(caplog: pytest.LogCaptureFixture) -> None:
    """The listener records all that is sent to it after it has asked for a login."""
    received = bytearray()

    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","version":"2.15.1","auth_required":true,"max_payload":1048576}\r\n')
        while chunk := await reader.read(4096):
            received.extend(chunk)
        writer.close()

    async with await asyncio.start_server(server, "127.0.0.1", 0) as listening:
        host, port = listening.sockets[0].getsockname()
        url = SecretStr(f"tls://summit:s3cret@{host}:{port}")
        connecting = asyncio.create_task(bus.connect(url, name="test"))
        await until(lambda: "has no TLS" in caplog.text)
        await end(connecting)
    assert b"s3cret" not in received
    assert received == b""
