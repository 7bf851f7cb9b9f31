"""uvicorn in our event loop: our signals, our log lines, and an end that does not wait for slow clients."""

import asyncio
import logging
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import cast

import uvicorn
from fastapi import FastAPI

from summit_api.http.protocol import ConnectionLimits, LimitedProtocol
from summit_runtime.process import FatalError
from summit_runtime.waiting import done_or_set

GRACEFUL_SHUTDOWN_SECONDS = 2
"""For requests under way at SIGTERM; then connections are closed. `summit-connect` waits for four seconds in all."""

UNACKNOWLEDGED_MILLISECONDS = 30_000
"""A vanished client is noticed this long after a heartbeat of its feed, not after a quarter of an hour of
retransmissions."""

_BACKLOG = 2048


class _WithoutTickets(logging.Filter):
    """The access log has the address of each request, without the ticket in it."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(_TICKET.sub(r"\1…", a) if isinstance(a, str) else a for a in record.args)
        return True


_TICKET = re.compile("(ticket=)[^& ]*")


class _WithoutCancelled(logging.Filter):
    """A request that is cancelled at shutdown is logged in a sentence; uvicorn logs it as a failure too (0.54)."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


class Server(uvicorn.Server):
    """A server that leaves signals to the process."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(host: str, port: int) -> socket.socket:
    """Bind before anything else is started. Raises FatalError when the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        sock = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise FatalError(
            f"cannot listen on {host} port {port}: {error.strerror}; set API_HOST or API_PORT to another"
        ) from error
    # An answer is two writes; without this the second waits 40 ms for the first to be acknowledged. uvloop sets it for
    # each connection, asyncio only for sockets that name their protocol (Python 3.11). Connections inherit it.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; connections inherit it
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MILLISECONDS)
    return sock


async def serve(
    app: FastAPI,
    sock: socket.socket,
    stop: asyncio.Event,
    *,
    before_end: Callable[[], None],
    access_log: bool,
    limits: ConnectionLimits,
) -> None:
    """Answer requests on the socket until `stop` is set and those under way have ended.

    `before_end` ends what would never end by itself: uvicorn waits for every answer under way (uvicorn 0.54).
    """
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="info" if access_log else "warning",
        access_log=access_log,
        lifespan="off",  # so that every scope is a request: our middleware relies on it
        http=cast(type[asyncio.Protocol], partial(LimitedProtocol, limits=limits)),
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=GRACEFUL_SHUTDOWN_SECONDS,
    )
    server = Server(config)
    logging.getLogger("uvicorn.access").addFilter(_WithoutTickets())
    logging.getLogger("uvicorn.error").addFilter(_WithoutCancelled())
    serving = asyncio.create_task(server.serve([sock]))
    await done_or_set(serving, stop)
    before_end()
    server.should_exit = True
    await serving
