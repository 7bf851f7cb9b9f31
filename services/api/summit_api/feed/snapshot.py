"""The list that a client's feed begins with: its VMs as of one revision, read and sent piece by piece."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from summit_api.feed import frame
from summit_api.feed.clusters import Clusters
from summit_api.feed.limits import FeedLimits
from summit_api.feed.selection import Selection
from summit_api.query import vms
from summit_api.query.position import Position
from summit_api.query.read_transaction import ReadModels, ReadTransaction
from summit_api.query.vms import VmRow
from summit_api.render.inventory import vm_item
from summit_api.render.moment import Moment
from summit_api.settings import ApiTimes
from summit_models.contract import Revision


class TooSlowError(Exception):
    """A client takes its snapshot too slowly."""


class Listing(NamedTuple):
    """The messages that make up a list, and its position."""

    position: Position
    chunks: AsyncIterator[bytes]


class Snapshots:
    """Reads the lists of a few clients at a time."""

    def __init__(self, read_models: ReadModels, clusters: Clusters, *, times: ApiTimes, limits: FeedLimits) -> None:
        self._read_models = read_models
        self._clusters = clusters
        self._seconds = times.snapshot_seconds
        self._turns = asyncio.Semaphore(limits.snapshots_at_once)

    @asynccontextmanager
    async def listing(self, selection: Selection) -> AsyncIterator[Listing]:
        """Read the client's list in one transaction. The chunks raise TooSlowError for a client that is too slow."""
        async with self._turns, self._read_models.transaction() as transaction:
            moment = self._clusters.moment(datetime.now(UTC))
            yield Listing(transaction.position, _chunks(transaction, selection, moment, self._seconds))


async def _chunks(
    transaction: ReadTransaction, selection: Selection, moment: Moment, seconds: float
) -> AsyncIterator[bytes]:
    """Each VM as `vm:added`, then `snapshot:done`.

    Only the last message has an id: a client that loses the connection before it has no list to continue from.
    """
    deadline = time.monotonic() + seconds
    count = 0
    if selection.shows_vms:
        async for rows in vms.every(transaction, selection.filters, selection.scope):
            count += len(rows)
            yield b"".join(_added(row, transaction.revision, moment) for row in rows)
            if time.monotonic() > deadline:
                raise TooSlowError
    done = {"revision": transaction.revision, "vms": count}
    yield frame.message("snapshot:done", done, time=moment.now, position=transaction.position)


def _added(row: VmRow, revision: Revision, moment: Moment) -> bytes:
    item = msgspec.Raw(vm_item(row, moment).encode())
    payload = {"datacenter": row.datacenter, "vm": item, "revision": revision}
    return frame.message("vm:added", payload, time=moment.now)
