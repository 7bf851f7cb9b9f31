"""Watches of one resource: one request, and its events on their way to the sink until it ends."""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from summit_models.cluster import ConnectionState
from summit_watcher.kube.errors import HistoryEndedError, LostError, WatcherError
from summit_watcher.kube.manifests.metadata import Manifest
from summit_watcher.kube.resources import WatchEvent
from summit_watcher.kube.transport import Timeouts
from summit_watcher.listwatch.events import event_of
from summit_watcher.listwatch.lines import BATCH_EVENTS, LineBuffer, decoded
from summit_watcher.listwatch.state import Next, WatchEnd, Watching, after_watch
from summit_watcher.listwatch.watched import WatchedResource

T = TypeVar("T", bound=Manifest)

Batches: TypeAlias = AsyncGenerator[Sequence[WatchEvent[T]]]


async def watch(watched: WatchedResource[T], watching: Watching) -> Next:
    """Watch on from a resourceVersion until the watch ends."""
    async with aclosing(batches(watched, {"resourceVersion": watching.resource_version})) as received:
        return await follow(watched, watching, (), received)


async def batches(watched: WatchedResource[T], params: Mapping[str, str | int]) -> Batches[T]:
    """One watch request: events in order, in batches of what the socket already holds.

    The first batch is empty, and says that the request was accepted. Raises ErrorEvent, UndecodableLine, IdleError or
    LostError after all events before it, and whatever `ClusterConnection.get` raises.
    """
    times, resource, status = watched.times, watched.resource, watched.status
    end = random.randint(*times.watch_seconds)  # noqa: S311
    query = {"watch": 1, "allowWatchBookmarks": "true", **params, "timeoutSeconds": end}
    async with watched.connection.get(resource.path, query, timeouts=Timeouts(times.idle_seconds)) as reply:
        status.contact()
        yield ()
        lines = LineBuffer()
        async for chunk in reply.chunks():
            status.contact()
            for batch in decoded(resource, lines.feed(chunk)):
                yield batch
                if len(batch) == BATCH_EVENTS:
                    await asyncio.sleep(0)
        if lines.has_rest:
            raise LostError(f"the watch of {resource.plural} ended in the middle of a line")


async def follow(
    watched: WatchedResource[T], watching: Watching, first: Sequence[WatchEvent[T]], received: Batches[T]
) -> Next:
    """Pass the events of a watch on until it ends; `first` are some that have been received before."""
    progress = _Progress(watching.resource_version)
    works: asyncio.TimerHandle | None = None
    error: WatcherError | None = None
    try:
        await _pass_on(watched, first, progress)
        async for batch in received:
            works = works or asyncio.get_running_loop().call_later(
                watched.times.short_watch_seconds, watched.status.synced
            )
            await _pass_on(watched, batch, progress)
    except HistoryEndedError:
        raise
    except WatcherError as caught:
        error = caught
    finally:
        if works is not None:
            works.cancel()
    following = after_watch(watching, progress.end(error), watched.times)
    watched.status.metrics.watch_ended(error or following.failure)
    return following


@dataclass
class _Progress:
    """How far a watch has come. The resourceVersion advances when the sink has taken a batch."""

    resource_version: str
    changes: int = 0
    began_at: float = field(default_factory=time.monotonic)

    def end(self, error: WatcherError | None) -> WatchEnd:
        return WatchEnd(self.resource_version, self.changes, self.began_at, time.monotonic(), error)


async def _pass_on(watched: WatchedResource[T], batch: Sequence[WatchEvent[T]], progress: _Progress) -> None:
    if not batch:
        return
    status = watched.status
    status.metrics.received([event.type for event in batch])
    seen, changes = progress.resource_version, 0
    for event in batch:
        if event.type == "BOOKMARK":
            watched.check_version(seen, event.resource_version)
            seen = event.resource_version
        else:
            changes += 1
    await watched.sink([event_of(event) for event in batch])
    progress.resource_version = batch[-1].resource_version
    if changes:
        progress.changes += changes
        status.last_event = status.last_contact
        if status.state is not ConnectionState.SYNCED:
            status.synced()
