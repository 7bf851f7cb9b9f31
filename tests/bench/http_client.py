"""An HTTP client that is no bottleneck: keep-alive connections, and no look at a byte but those that are needed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager


class Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def get(self, target: str, **headers: str) -> tuple[int, bytes, bytes]:
        """Status, head and body of an answer."""
        more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        self._writer.write(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n{more}\r\n".encode())
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]
        body = await self._reader.readexactly(int(length or 0))
        return int(head[9:12]), head, body

    def close(self) -> None:
        self._writer.close()


@asynccontextmanager
async def connections(port: int, number: int) -> AsyncIterator[list[Connection]]:
    opened = [Connection(*await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)) for _ in range(number)]
    try:
        yield opened
    finally:
        for connection in opened:
            connection.close()


async def evenly(ask: list[Callable[[], Awaitable[None]]], *, per_second: float, seconds: float) -> list[float]:
    """Ask at an even pace over the free connections, and return the seconds of each from when it was due."""
    loop = asyncio.get_running_loop()
    free: asyncio.Queue[Callable[[], Awaitable[None]]] = asyncio.Queue()
    for one in ask:
        free.put_nowait(one)
    taken: list[float] = []

    async def answer(due: float) -> None:
        one = await free.get()
        await one()
        taken.append(loop.time() - due)
        free.put_nowait(one)

    started = loop.time()
    async with asyncio.TaskGroup() as tasks:
        for number in range(int(per_second * seconds)):
            due = started + number / per_second
            await asyncio.sleep(max(0.0, due - loop.time()))
            tasks.create_task(answer(due))
    return taken
