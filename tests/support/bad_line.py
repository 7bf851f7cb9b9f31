"""A long way between a client and a server: bytes take time, few pass in a second, some are lost and sent again."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

CHUNK_BYTES = 1448
"""As a segment of TCP: one that is lost holds up all that follow."""
QUEUE_SECONDS = 0.1
"""What a router queues; the rest waits at the sender, in its sockets."""


@dataclass
class BadLine:
    """Each direction of a connection has this delay, and this rate for all connections together."""

    host: str
    port: int
    delay_seconds: float
    bytes_per_second: float
    loss: float = 0.0
    """The share of segments that are lost. Each holds up the line for as long as TCP takes to send it again."""
    url: str = ""
    carried: dict[str, int] = field(default_factory=lambda: {"up": 0, "down": 0})
    """Bytes that have passed."""

    def __post_init__(self) -> None:
        self._random = random.Random(17)  # noqa: S311
        self._free_at = {"up": 0.0, "down": 0.0}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            up_reader, up_writer = await asyncio.open_connection(self.host, self.port)
            ways = (("up", reader, up_writer), ("down", up_reader, writer))
            tasks = [asyncio.create_task(self._carry(*way)) for way in ways]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                up_writer.close()
        writer.close()

    async def _carry(self, way: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        on_its_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        arriving = asyncio.create_task(self._arrive(on_its_way, writer))
        time = asyncio.get_running_loop().time
        try:
            while data := await reader.read(CHUNK_BYTES):
                self._free_at[way] = max(time(), self._free_at[way]) + len(data) / self.bytes_per_second
                if self._random.random() < self.loss:
                    self._free_at[way] += 2 * self.delay_seconds
                self.carried[way] += len(data)
                on_its_way.put_nowait((self._free_at[way] + self.delay_seconds, data))
                await asyncio.sleep(max(0.0, self._free_at[way] - time() - QUEUE_SECONDS))
        finally:
            arriving.cancel()

    async def _arrive(self, on_its_way: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        time = asyncio.get_running_loop().time
        while True:
            due, data = await on_its_way.get()
            await asyncio.sleep(max(0.0, due - time()))
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def bad_line(
    url: str, *, delay_seconds: float, bytes_per_second: float, loss: float = 0.0
) -> AsyncIterator[BadLine]:
    """A line to the server of an URL, and its own `url` for the same."""
    parts = urlsplit(url)
    line = BadLine(parts.hostname or "", parts.port or 0, delay_seconds, bytes_per_second, loss)
    async with await asyncio.start_server(line.serve, "127.0.0.1", 0) as server:
        line.url = url.replace(f":{parts.port}", f":{server.sockets[0].getsockname()[1]}", 1)
        yield line
