"""A NATS server like the embedded one, with other configuration: small disks, users with rights. What its log has."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from summit_runtime.nats.connection.bus import EventClient
from summit_runtime.nats.streams.consumer import consume
from summit_runtime.nats.streams.stream import stream_state
from summit_standalone.directory import prepare_directory
from summit_standalone.embedded import nats as embedded_nats
from summit_standalone.embedded.child import Child, Program
from summit_standalone.embedded.server_process import HOST, choose_port, exclusive, running


@asynccontextmanager
async def nats_server(directory: Path, *, jetstream: str = "", more: str = "") -> AsyncIterator[tuple[str, Child]]:
    """Run a server, and give its address without scheme, and the process.

    The same directory keeps port and streams. `jetstream` is added to that block of the configuration, `more` to all.
    """
    directory = prepare_directory(directory)
    children: list[Child] = []
    async with exclusive(directory, signal.SIGTERM) as lock:
        port = choose_port(directory)
        config = directory / "nats.conf"
        config.write_text(
            f'listen: "{HOST}:{port}"\n'
            f'jetstream {{ store_dir: "{directory}", sync_interval: "100ms", {jetstream} }}\n{more}\n'
        )
        program = Program("nats", (embedded_nats._binary(), "--config", str(config)), death_signal=signal.SIGKILL)
        async with running(program, b"Server is ready", directory=directory, lock=lock, report=children.append):
            yield f"{HOST}:{port}", children[-1]


async def stored(client: EventClient) -> list[int]:
    """The numbers with which the events in the log begin, in its order."""
    last = (await stream_state(client)).last_sequence
    numbers: list[int] = []
    async with asyncio.timeout(30), consume(client, after=0) as consumer:
        while len(numbers) < last:
            numbers += [int(m.body.split()[0]) for m in await consumer.next_batch()]
    return numbers
