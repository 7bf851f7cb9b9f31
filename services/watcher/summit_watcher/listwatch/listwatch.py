"""Lists one resource of one cluster and watches it, for ever: what a reflector is in client-go, a watcher in kube-rs.

Three levels: for ever → one request and the pause after it → one request (`lists`, `watch`). Which request follows is
decided in `state`. No object is kept here.
"""

import asyncio
from collections.abc import Awaitable
from typing import Protocol

from summit_runtime.backoff import Backoff
from summit_watcher.kube.connection import SHORT
from summit_watcher.kube.errors import BackpressureError, HistoryEndedError, WatcherError
from summit_watcher.kube.failure import classify
from summit_watcher.listwatch.lists import list_objects, list_once
from summit_watcher.listwatch.state import Listing, Next, StreamState, Verifying, Watching, after_silence
from summit_watcher.listwatch.watch import WatchedResource, watch


class Confirm(Protocol):
    """Makes sure that the right cluster answers; `again` when the request before has failed. Raises WatcherError."""

    def __call__(self, *, again: bool) -> Awaitable[None]: ...


class ListWatch:
    """The list-watch of one resource. `confirm` is asked before each request."""

    def __init__(self, watched: WatchedResource, confirm: Confirm) -> None:
        self._watched = watched
        self._confirm = confirm
        self._backoff = Backoff(*watched.times.retry)

    async def run(self, start: Listing) -> None:
        """Pass every change on to the sink, in order, for ever; begin with the list `start`.

        Raises HistoryEndedError, as soon as the server turns out to be below a resourceVersion that it has shown.
        """
        step = Next(start)
        while True:
            step = await self._session(step)

    async def _session(self, last: Next) -> Next:
        """One request, and the pause after it."""
        status, times = self._watched.status, self._watched.times
        state = after_silence(last.state, status.silent_seconds, times)
        try:
            await self._confirm(again=last.failure is not None)
            following = await self._request(state)
        except HistoryEndedError:
            raise
        except WatcherError as error:
            following = Next(state, error)
        if following.failure is not None:
            await self._pause("list" if isinstance(state, Listing) else "watch", following.failure)
        before = state.reason if isinstance(state, Listing) else None
        if isinstance(following.state, Listing) and following.state.reason is not before:
            status.relisting(following.state.reason)
        return following

    async def _request(self, state: StreamState) -> Next:
        match state:
            case Listing():
                return await list_objects(self._watched, state)
            case Verifying(watching):
                return await self._verify(watching)
            case Watching():
                return await watch(self._watched, state)

    async def _verify(self, watching: Watching) -> Next:
        """Go on watching if the server's newest resourceVersion is not below ours."""
        page = await list_once(self._watched, {"limit": 1}, SHORT)
        self._watched.check_version(watching.resource_version, page.resource_version)
        return Next(watching)

    async def _pause(self, action: str, error: WatcherError) -> None:
        watched, failure = self._watched, classify(error)
        if isinstance(error, BackpressureError):
            watched.status.held_back(failure)
            await error.room()
            return
        retry = watched.times.retry_of(failure.state)
        if (self._backoff.initial_seconds, self._backoff.max_seconds) != retry:
            self._backoff = Backoff(*retry)
        seconds = self._backoff.next_seconds(failure.retry_after_seconds)
        watched.status.failed(action, failure, self._backoff.attempt, seconds)
        if failure.retry_after_seconds:
            await asyncio.sleep(seconds)
        else:
            await watched.connection.pause(seconds)
