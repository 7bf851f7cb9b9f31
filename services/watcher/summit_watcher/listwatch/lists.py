"""Lists of one resource: streamed where the server can, else in pages. Each shows one consistent snapshot.

A list that breaks off changes nothing: the sink replaces its objects at InitDone, and only a complete list gets there.
"""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from itertools import takewhile
from typing import Any, cast

from summit_watcher.kube.errors import StreamingListError, WatcherError
from summit_watcher.kube.list_size import ListSize
from summit_watcher.kube.resources import Page, WatchEvent
from summit_watcher.kube.transport import Timeouts
from summit_watcher.listwatch.events import Init, InitApply, InitDone
from summit_watcher.listwatch.state import (
    Listing,
    ListReason,
    Next,
    Watching,
    after_list,
    after_streaming_list,
    needs_confirmation,
)
from summit_watcher.listwatch.watch import Batches, WatchedResource, batches, follow


async def list_objects(watched: WatchedResource, listing: Listing) -> Next:
    """List once, and after a streaming list follow the watch that it goes on as.

    The lists of a cluster run side by side, as a slow one must hold up no other. See `PageSlots` for their bound.
    """
    if listing.at is None and listing.may_stream and watched.connection.has_streaming_lists:
        return await _streaming_list(watched, listing)
    return await _paged_list(watched, listing)


async def _paged_list(watched: WatchedResource, listing: Listing) -> Next:
    try:
        async with aclosing(_pages(watched, listing)) as pages:
            done = await _page_by_page(watched, pages)
    except WatcherError as error:
        return after_list(listing, error)
    return await _finish(watched, listing, done)


async def _page_by_page(watched: WatchedResource, pages: AsyncIterator[Page[Any]]) -> InitDone:
    done = InitDone("")
    async for page in pages:
        if not done.resource_version:
            await _begin(watched)
        if page.items:
            await watched.sink([InitApply(item) for item in page.items])
        done = InitDone(page.resource_version, done.undecodable + page.undecodable)
    return done


async def _pages(watched: WatchedResource, listing: Listing) -> AsyncGenerator[Page[Any]]:
    """The pages of one snapshot: the newest, or the one at a resourceVersion."""
    times = watched.times
    timeouts = Timeouts(times.page_idle_seconds, times.page_total_seconds)
    limit: dict[str, str | int] = {"limit": times.page_size} if listing.in_pages else {}
    which: dict[str, str | int] = {}
    if listing.at:
        which = {"resourceVersion": listing.at, "resourceVersionMatch": "Exact"}
    size = ListSize(watched.resource.plural)
    while True:
        page = await list_once(watched, limit | which, timeouts)
        size.add_objects(len(page.items) + page.undecodable)
        size.add_page(page.continue_token)
        yield page
        if not page.continue_token:
            return
        # The token goes without a resourceVersion: together they are refused (400).
        which = {"continue": page.continue_token}


async def list_once(watched: WatchedResource, params: Mapping[str, str | int], timeouts: Timeouts) -> Page[Any]:
    """One LIST request: the newest, consistent state, unless `params` names another resourceVersion.

    Raises what `ClusterConnection.get` raises, and UndecodableLine for an answer that is not a list.
    """
    async with watched.connection.get(watched.resource.path, params, timeouts=timeouts) as reply:
        watched.status.contact()
        async with watched.page_slots.take():
            body = await reply.body()
            watched.status.contact()
            return watched.resource.decode_page(body)


async def _streaming_list(watched: WatchedResource, listing: Listing) -> Next:
    params = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
    async with aclosing(batches(watched, params)) as received:
        try:
            resource_version, rest = await _initial_events(watched, received)
        except WatcherError as error:
            following = after_streaming_list(listing, error)
            if following.failure is None:
                watched.connection.avoid_streaming_lists(error)
            return following
        following = await _finish(watched, listing, InitDone(resource_version))
        if isinstance(following.state, Watching):
            return await follow(watched, following.state, rest, received)
        return following


async def _initial_events(watched: WatchedResource, received: Batches) -> tuple[str, Sequence[WatchEvent[Any]]]:
    """The list that a watch begins with: its resourceVersion, and the events that came after it."""
    plural = watched.resource.plural
    begun, size = False, ListSize(plural)
    while True:
        batch = await _next_batch(watched, received)
        if not begun:
            await _begin(watched)
            begun = True
        listed = list(takewhile(lambda event: event.type == "ADDED", batch))
        size.add_objects(len(listed))
        if listed:
            await watched.sink([InitApply(cast("Any", event.object)) for event in listed])
        if len(listed) < len(batch):
            end = batch[len(listed)]
            if not end.initial_events_end:
                raise StreamingListError(f"the streaming list of {plural} has no marked end")
            return end.resource_version, batch[len(listed) + 1 :]


async def _next_batch(watched: WatchedResource, received: Batches) -> Sequence[WatchEvent[Any]]:
    """The next events of a streaming list. A proxy may have dropped its end, which is a bookmark: do not wait long."""
    plural, seconds = watched.resource.plural, watched.times.streaming_list_idle_seconds
    try:
        async with asyncio.timeout(seconds):
            return await anext(received)
    except StopAsyncIteration:
        raise StreamingListError(f"the streaming list of {plural} ended before its end was marked") from None
    except TimeoutError:
        raise StreamingListError(f"the streaming list of {plural} stood still for {seconds:g} s") from None


async def _begin(watched: WatchedResource) -> None:
    watched.status.listing()
    await watched.sink([Init()])


async def _finish(watched: WatchedResource, listing: Listing, done: InitDone) -> Next:
    """Use a complete list; one that would delete most of what is known only when a second one agrees."""
    watched.check_version(listing.seen, done.resource_version)
    known, deleted = watched.deletions()
    if done.undecodable:
        watched.check_room()  # its objects come on top of the known ones, as none is deleted
    else:
        if needs_confirmation(known, deleted) and listing.reason is not ListReason.CONFIRMATION:
            return Next(Listing(ListReason.CONFIRMATION, seen=done.resource_version))
        watched.status.metrics.synthetic_deletes.inc(deleted)
    await watched.sink([done._replace(finds_drift=listing.finds_drift)])
    watched.status.listed()
    relist_at = time.monotonic() + random.uniform(*watched.times.relist_seconds)  # noqa: S311
    return Next(Watching(done.resource_version, relist_at, expiries=listing.expiries))
