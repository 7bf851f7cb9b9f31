"""HTTP on a connection, as uvicorn speaks it with httptools, within limits that uvicorn does not have.

A head that is too long or late, or a client that does not read its answer, would hold memory and a connection for as
long as the client likes. A request that cannot be parsed is answered with a problem, as all errors are.

What a proxy in front of the api could read otherwise than the api is refused (`framing`). An answer that comes before
the end of its request ends the connection, since nobody knows where the next request would begin.
"""

from asyncio import TimerHandle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httptools
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from summit_api.http import framing
from summit_api.problems import Kind, ProblemError, problem


@dataclass(frozen=True)
class ConnectionLimits:
    head_bytes: int = 65_536
    """Address and headers together, half of it for the address: room for every filter with a hundred values."""
    head_seconds: float = 10.0
    """From the connection, or the first byte of a further request, to the end of the head."""
    stalled_seconds: float = 30.0
    """How long a client may read nothing while an answer or a feed waits for it."""
    linger_seconds: float = 2.0
    """How long a client that still sends may take to read its last answer. Closing at once would reset the connection
    and take the answer away from it (RFC 9112 section 9.6)."""


class LimitedProtocol(HttpToolsProtocol):
    def __init__(self, *arguments: Any, limits: ConnectionLimits, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.url = b""
        self._limits = limits
        self._unused_bytes = 0
        """Received since the last piece of a body: a head, the size of a chunk, trailers. Nothing else limits these."""
        self._in_head = False
        self._refusal: ProblemError | None = None
        self._running: RequestResponseCycle | None = None
        """The request that is answered; `cycle` is the last one that has arrived. Clients need not wait for answers."""
        self._head_timer: TimerHandle | None = None
        self._stall_timer: TimerHandle | None = None
        self._linger_timer: TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.transport = _Transport(transport, self._close)  # type: ignore[assignment]
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._head_timer, self._stall_timer, self._linger_timer):
            _cancel(timer)
        if (running := self._running) and not running.response_complete:
            self._end(running)  # uvicorn ends `cycle`, which is another one if the client has sent further requests
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refusal or self.transport.is_closing():
            return
        self._unset_keepalive_if_required()
        if self._is_idle() and self._head_timer is None:
            self._wait_for_head()
        self._unused_bytes += len(data)
        try:
            self._parse(data)
        except httptools.HttpParserError as error:
            if not self._refusal:
                self._refuse(ProblemError(Kind.BAD_REQUEST, _reason(error)))
        self._check_head(self._unused_bytes)

    def _parse(self, data: bytes) -> None:
        """A request that asks for another protocol is parsed as if it did not: httptools would take the rest for it."""
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                method, version = self.parser.get_method(), self.parser.get_http_version()
                head = framing.head_without_upgrade(method, self.url, version, self.headers)
                data = head + data[upgrade.args[0] :]
            else:
                return

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._wait_for_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Fields after the body could replace those that a proxy has checked, so they are ignored."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._check_head(len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers))
        framing.check(self.parser.get_method(), self.url, self.parser.get_http_version(), self.headers)
        if self.parser.should_upgrade():
            return
        self._in_head = False
        self._unused_bytes = 0
        self._stop_waiting_for_head()
        if not self._refusal:
            super().on_headers_complete()

    def on_chunk_header(self) -> None:
        self._unused_bytes = 0

    def on_body(self, body: bytes) -> None:
        self._unused_bytes = 0
        if not self._refusal:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._unused_bytes = 0
        if not self._refusal:
            self.cycle.more_body = False  # also after the answer, which uvicorn leaves out: the connection can go on
            super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._refusal and not self._is_answering():
            self._send_refusal()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stall_timer = self.loop.call_later(self._limits.stalled_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        _cancel(self._stall_timer)
        super().resume_writing()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGIApp) -> None:  # type: ignore[override]
        self._running = cycle
        super()._start_asgi_task(cycle, _ending_unread(cycle, app))  # type: ignore[arg-type]

    def _is_idle(self) -> bool:
        """Whether no request is under way. A client may send empty lines then, but not for ever."""
        return not self._in_head and not self._is_answering()

    def _is_answering(self) -> bool:
        running = self._running
        return bool(self.pipeline) or not (running is None or running.response_complete or running.disconnected)

    def _wait_for_head(self) -> None:
        self._stop_waiting_for_head()
        self._head_timer = self.loop.call_later(self._limits.head_seconds, self._head_is_late)

    def _stop_waiting_for_head(self) -> None:
        _cancel(self._head_timer)
        self._head_timer = None

    def _head_is_late(self) -> None:
        """A client that has sent nothing yet, such as a browser that connects in advance, gets no answer."""
        if not self._in_head:
            self.transport.close()
            return
        seconds = f"{self._limits.head_seconds:g} s"
        self._refuse(ProblemError(Kind.REQUEST_TIMEOUT, f"the head of the request did not arrive within {seconds}"))

    def _check_head(self, size: int) -> None:
        most = self._limits.head_bytes
        if self._refusal:
            return
        if self._in_head and len(self.url) > most // 2:
            self._refuse(ProblemError(Kind.URI_TOO_LONG, f"an address can have at most {most // 2} bytes"))
        elif size > most:
            self._refuse(ProblemError(Kind.HEADERS_TOO_LARGE, f"address and headers can have at most {most} bytes"))

    def _refuse(self, error: ProblemError) -> None:
        """Read nothing more, and answer after the requests before this one."""
        self._refusal = error
        self._stop_waiting_for_head()
        if not self._in_head and self.cycle is not None and self.cycle.more_body:
            self._give_up(self.cycle)
        if not self._is_answering():
            self._send_refusal()

    def _give_up(self, broken: RequestResponseCycle) -> None:
        """The body of this request ends in rubbish: its work ends, or does not begin."""
        self._end(broken)
        if self.pipeline and self.pipeline[0][0] is broken:
            self.pipeline.popleft()

    @staticmethod
    def _end(cycle: RequestResponseCycle) -> None:
        """The work for this request learns that nobody waits for its answer."""
        cycle.disconnected = True
        cycle.message_event.set()

    def _send_refusal(self) -> None:
        error, running = self._refusal, self._running
        is_in_an_answer = running is not None and running.response_started and not running.response_complete
        if error and not is_in_an_answer and not self.transport.is_closing():
            body = problem.body(self.url.partition(b"?")[0].decode("latin-1"), error)
            self.transport.write(
                STATUS_LINE[error.status]
                + f"content-type: {problem.MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\n".encode()
                + b"connection: close\r\n\r\n"
                + body
            )
        self.transport.close()

    def _close(self, transport: Any) -> None:
        """Close at once if the client has sent everything, else let it read its answer first."""
        if not self._refusal and not (self.cycle and self.cycle.more_body):
            transport.close()
            return
        self._stop_waiting_for_head()
        self._linger_timer = self.loop.call_later(self._limits.linger_seconds, transport.close)
        self.flow.resume_reading()
        transport.write_eof()


class _Transport:
    """uvicorn's transport. The first `close` is ours, and a write to a lost connection is none.

    uvloop raises for it, before it calls `connection_lost`; asyncio does not.
    """

    def __init__(self, transport: Any, close: Callable[[Any], None]) -> None:
        self._transport = transport
        self._close = close
        self._closed = False

    def close(self) -> None:
        if self._closed or self._transport.is_closing():
            self._transport.close()
        else:
            self._closed = True
            self._close(self._transport)

    def write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    def is_closing(self) -> bool:
        return self._closed or bool(self._transport.is_closing())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def _ending_unread(cycle: RequestResponseCycle, app: ASGIApp) -> ASGIApp:
    """The app; if its answer begins before the request has arrived completely, the answer is the connection's last."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def begin(message: Message) -> None:
            if message["type"] == "http.response.start" and cycle.more_body:
                cycle.keep_alive = False
            await send(message)

        await app(scope, receive, begin)

    return answer


def _reason(error: httptools.HttpParserError) -> str:
    match error:
        case httptools.HttpParserCallbackError(__context__=framing.InvalidRequestError() as ambiguous):
            return str(ambiguous)
        case httptools.HttpParserInvalidMethodError():
            return "the request does not begin with a method of HTTP, such as GET; the api speaks HTTP/1.1 without TLS"
    return "the request is not valid HTTP/1.1"


def _cancel(timer: TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
