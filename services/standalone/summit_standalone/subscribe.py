"""`summit-connect sub`: print what is published on a subject, as the nats command line does.

For machines without that command: the feed is plain NATS, and any client in any language can read it so.
"""

import asyncio
import itertools
import signal
import sys

import nats
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import NoServersError

from summit_standalone.errors import StandaloneError

CONNECT_SECONDS = 5


async def subscribe(server: str, subject: str, *, count: int | None, raw: bool) -> None:
    """Print messages until `count` of them came or a signal. Raises StandaloneError when the server cannot be had."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    numbers = itertools.count(1)

    async def on_message(message: Msg) -> None:
        number = next(numbers)
        if count is not None and number > count:
            return
        body = message.data.decode(errors="replace")
        try:
            sys.stdout.write(f"{body}\n" if raw else f'[#{number}] Received on "{message.subject}"\n{body}\n\n')
            sys.stdout.flush()
        except BrokenPipeError:  # `| head`
            stop.set()
        if number == count:
            stop.set()

    async def on_closed() -> None:
        stop.set()

    try:
        client = await nats.connect(server, connect_timeout=CONNECT_SECONDS, allow_reconnect=False, closed_cb=on_closed)
    except (OSError, TimeoutError, NoServersError, NatsError) as error:
        raise StandaloneError(f"no NATS server answers at {_without_password(server)}: {error}") from error
    try:
        await client.subscribe(subject, cb=on_message)
        await client.flush()
        await stop.wait()
        if client.is_closed:
            raise StandaloneError(f"the NATS server at {_without_password(server)} closed the connection")
    finally:
        await client.close()


def _without_password(server: str) -> str:
    scheme, separator, rest = server.rpartition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"
