"""HTTP on a connection, as uvicorn speaks it with httptools, within limits that uvicorn does not have.

A head that is too long or late, or a client that does not read its answer, would hold memory and a connection for as
long as the client likes. A request that cannot be parsed is answered with a problem, as all errors are.
"""

from asyncio import TimerHandle
from dataclasses import dataclass
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from summit_api.problems import Kind, ProblemError, problem


@dataclass(frozen=True)
class ConnectionLimits:
    head_bytes: int = 65_536
    """Address and headers together, half of it for the address: room for every filter with a hundred values."""
    head_seconds: float = 10.0
    """From the connection, or the first byte of a further request, to the end of the head."""
    stalled_seconds: float = 30.0
    """How long a client may read nothing while an answer or a feed waits for it."""


class LimitedProtocol(HttpToolsProtocol):
    """One connection of one client."""

    def __init__(self, *arguments: Any, limits: ConnectionLimits, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.url = b""
        self._limits = limits
        self._head_bytes = 0
        self._in_head = False
        self._refused = False
        self._head_timer: TimerHandle | None = None
        self._stall_timer: TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        _cancel(self._head_timer)
        _cancel(self._stall_timer)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # there is nothing to upgrade to; the request is answered as if it did not ask for it
        except httptools.HttpParserError:
            self._refuse(ProblemError(Kind.BAD_REQUEST, "the request is not valid HTTP/1.1"))
        if self._in_head:
            self._head_bytes += len(data)
            self._check_head(self._head_bytes)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0
        self._wait_for_head()

    def on_headers_complete(self) -> None:
        self._in_head = False
        _cancel(self._head_timer)
        self._check_head(len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers))
        if not self._refused:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._refused:
            super().on_message_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stall_timer = self.loop.call_later(self._limits.stalled_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        _cancel(self._stall_timer)
        super().resume_writing()

    def _wait_for_head(self) -> None:
        _cancel(self._head_timer)
        self._head_timer = self.loop.call_later(self._limits.head_seconds, self._head_is_late)

    def _head_is_late(self) -> None:
        """A client that has sent nothing yet, such as a browser that connects in advance, gets no answer."""
        if not self._in_head:
            self.transport.close()
            return
        seconds = f"{self._limits.head_seconds:g} s"
        self._refuse(ProblemError(Kind.REQUEST_TIMEOUT, f"the head of the request did not arrive within {seconds}"))

    def _check_head(self, size: int) -> None:
        most = self._limits.head_bytes
        if self._refused:
            return
        if len(self.url) > most // 2:
            self._refuse(ProblemError(Kind.URI_TOO_LONG, f"an address can have at most {most // 2} bytes"))
        elif size > most:
            self._refuse(ProblemError(Kind.HEADERS_TOO_LARGE, f"address and headers can have at most {most} bytes"))

    def _refuse(self, error: ProblemError) -> None:
        """Answer, and read nothing more. An answer that is under way already ends without this one."""
        self._refused = True
        _cancel(self._head_timer)
        if self.cycle is None or self.cycle.response_complete:
            body = problem.body(self.url.partition(b"?")[0].decode("latin-1"), error)
            self.transport.write(
                STATUS_LINE[error.status]
                + f"content-type: {problem.MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\n".encode()
                + b"connection: close\r\n\r\n"
                + body
            )
        self.transport.close()


def _cancel(timer: TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
