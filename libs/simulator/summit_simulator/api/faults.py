"""Everything that goes wrong with real clusters, as switches.

Each is one method or attribute of `cluster.faults`; `clear()` makes the cluster healthy again. They exist
in-process only. Requests that act on VMs have switches of their own, see mishaps.py.
"""

import asyncio
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from aiohttp import web

from summit_simulator.access.listener import Listener
from summit_simulator.api.mishaps import Mishaps
from summit_simulator.api.requests import RequestInfo
from summit_simulator.api.watches import Injection, WatchStream, error_line
from summit_simulator.controllers.migration_course import MigrationCourse
from summit_simulator.objects.manifest import Manifest, encode
from summit_simulator.objects.status import REASONS, StatusError

HTML = b"<!DOCTYPE html>\n<html><body><h1>Sign in to the network</h1></body></html>\n"
# A line that no JSON parser takes, and one that is no UTF-8.
GARBAGE = b'{"type":"MODIFIED","object":{"metadata":{"name":"x",,\n'
INVALID_UTF8 = b'{"type":"MODIFIED","object":{"metadata":{"name":"\xff\xfe"}}}\n'


@dataclass(eq=False, slots=True)
class Answer:
    """A false answer to some requests."""

    response: Callable[[], web.Response]
    path: str  # part of the path
    verb: str | None
    page: int | None  # 2: only requests with a continue token, 1: only those without
    left: int | None  # how many times more; None is for ever

    def fits(self, info: RequestInfo) -> bool:
        """Whether this request is meant; uses up one of the times if so."""
        if self.path not in info.path or self.verb not in (None, info.verb) or self.left == 0:
            return False
        if self.page is not None and (self.page > 1) != ("continue" in info.query):
            return False
        if self.left is not None:
            self.left -= 1
        return True


class Faults:
    def __init__(self, listener: Listener, *, take_course: Callable[[MigrationCourse], None]) -> None:
        self._listener = listener
        self._take_course = take_course
        self._answers: list[Answer] = []
        self._withheld: dict[str, asyncio.Event] = {}
        self._moving = asyncio.Event()  # cleared: half-open
        self._moving.set()
        self.streams: set[WatchStream] = set()
        self.delay_seconds = 0.0  # before every answer
        self.close_watches_at_once = False  # each watch ends before its first event
        self.watch_list = True  # the WatchList feature gate: sendInitialEvents
        self.watch_progress = True  # False: etcd 3.4, which the server needs to end initial events, answers 500
        self.continue_tokens: Iterator[str] | None = None  # lists have no end: each page is the first, and has the next
        self.drop_bookmarks = False  # as relays between client and server do
        self.watch_ending: bytes | None = None  # each watch ends with these lines as soon as it is open
        self.acts = Mishaps()
        self.virt_api_down = False  # 503 for subresources, 500 for writes of VMs and migrations; watches go on
        self.virt_handler_down = False  # 500 for what virt-api asks of virt-handler: pause, reset, …

    async def clear(self) -> None:
        """Set every switch back to normal. Broken connections stay broken, new ones work."""
        self._answers.clear()
        while self._withheld:
            self._withheld.popitem()[1].set()
        self.delay_seconds = 0.0
        self.close_watches_at_once = False
        self.watch_list = True
        self.watch_progress = True
        self.continue_tokens = None
        self.drop_bookmarks = False
        self.watch_ending = None
        self.acts.clear()
        self.disturb_migrations()
        self.virt_api_down = False
        self.virt_handler_down = False
        self.unfreeze()
        await self.accept_connections()

    def disturb_migrations(
        self,
        *,
        failure: str | None = None,
        is_stalled: bool = False,
        ignores_abort: bool = False,
        quota: str | None = None,
    ) -> None:
        """Let live migrations, also those in flight, take this course; without arguments they succeed again."""
        self._take_course(MigrationCourse(failure, is_stalled, ignores_abort, quota))

    # Connections

    def refuse_connections(self) -> None:
        """The apiserver is down: connections break, new ones are refused."""
        self._listener.refuse()

    async def present(self, tls: ssl.SSLContext | None) -> None:
        """Serve with another certificate from now on, None: without TLS. Connections break, the port stays."""
        self._listener.refuse()
        self._listener.tls = tls
        await self._listener.open()

    async def accept_connections(self) -> None:
        """The apiserver is up again, on the same port."""
        await self._listener.open()

    def abort_connections(self) -> None:
        self._listener.abort()

    def freeze(self) -> None:
        """Half-open: connections are accepted and nothing is sent any more, neither answers nor events."""
        self._moving.clear()
        for stream in self.streams:
            stream.stall()

    def unfreeze(self) -> None:
        """Send again what was held back."""
        self._moving.set()
        for stream in self.streams:
            stream.resume()

    # Answers

    def respond(
        self,
        status: int,
        path: str = "",
        *,
        verb: str | None = None,
        page: int | None = None,
        times: int | None = None,
        retry_after: int | None = None,
        message: str = "injected by the simulator",
    ) -> Answer:
        """Answer requests whose path contains `path` (and of that verb, and page) with a Status of this code."""
        error = StatusError(status, message, reason=REASONS.get(status), retry_after=retry_after)
        answer = Answer(lambda: error_response(error), path, verb, page, times)
        self._answers.append(answer)
        return answer

    def respond_html(self, path: str = "") -> Answer:
        """Answer with a page, as captive portals and broken proxies do."""
        answer = Answer(lambda: web.Response(body=HTML, content_type="text/html"), path, None, None, None)
        self._answers.append(answer)
        return answer

    def answer(self, body: Manifest, path: str) -> Answer:
        """Answer 200 with this object."""
        answer = Answer(
            lambda: web.Response(body=encode(body), content_type="application/json"), path, None, None, None
        )
        self._answers.append(answer)
        return answer

    def withhold(self, path: str) -> None:
        """Answer no request whose path contains `path`, until all faults are cleared."""
        self._withheld[path] = asyncio.Event()

    def stop_responding(self, answer: Answer) -> None:
        self._answers.remove(answer)

    async def before(self, info: RequestInfo) -> Answer | None:
        """Called by the server for each request: wait as long as the faults want, then the false answer, if any."""
        await self._moving.wait()
        if self.delay_seconds:
            await asyncio.sleep(self.delay_seconds)
            await self._moving.wait()
        for path, answered in tuple(self._withheld.items()):
            if path in info.path:
                await answered.wait()
        return next((answer for answer in self._answers if answer.fits(info)), None)

    # Streams

    def close_streams(self, resource: str | None = None, *, abort: bool = False) -> None:
        """End every watch (of a plural): cleanly, or with a reset in mid-stream."""
        for stream in self._streams_of(resource):
            if abort:
                stream.abort()
            else:
                stream.end()

    def send_bookmarks(self) -> None:
        """Send a bookmark into every watch that allows them, now."""
        for stream in self.streams:
            stream.send_bookmark()

    def send_error(self, code: int = 500, message: str = "injected", resource: str | None = None) -> None:
        """An ERROR event in mid-stream, after which the server ends the stream."""
        self._inject(resource, Injection(error_line(StatusError(code, message)), "end"))

    def expire_watches_after(self, event: bytes) -> None:
        """From now on each watch gives this event and then an ERROR event 410, as a server with a broken cache."""
        self.watch_ending = event + error_line(StatusError(410, "too old resource version: 1 (2)"))
        self.close_streams()

    def send_garbage(self, resource: str | None = None, *, line: bytes = GARBAGE) -> None:
        """A line that cannot be read; the stream goes on after it."""
        self._inject(resource, Injection(line))

    def send_truncated(self, resource: str | None = None, *, abort: bool = False) -> None:
        """Half a line, then the end of the stream: a clean one, or a reset."""
        self._inject(resource, Injection(GARBAGE[: len(GARBAGE) // 2], "abort" if abort else "end"))

    def _inject(self, resource: str | None, injection: Injection) -> None:
        for stream in self._streams_of(resource):
            stream.inject(injection)

    def _streams_of(self, resource: str | None) -> Iterator[WatchStream]:
        for stream in tuple(self.streams):
            if resource in (None, stream.resource.plural):
                yield stream


def error_response(error: StatusError) -> web.Response:
    """A Status with its code, and Retry-After if the error has one."""
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    return web.Response(body=encode(error.body()), status=error.code, content_type="application/json", headers=headers)
