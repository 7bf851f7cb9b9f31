"""The list that a client's feed begins with: its VMs as of one revision, read and sent piece by piece."""

import time
from collections.abc import AsyncIterator
from typing import NamedTuple

import msgspec

from summit_api.feed import frame
from summit_api.feed.selection import Selection
from summit_api.query import vms
from summit_api.query.transaction.position import Position
from summit_api.query.transaction.read_transaction import ReadTransaction
from summit_api.query.vms import VmRow
from summit_api.render.inventory import vm_item
from summit_api.render.moment import Moment
from summit_models.contract import Revision


class TooSlowError(Exception):
    """A client takes its snapshot too slowly."""


class Snapshot(NamedTuple):
    position: Position
    chunks: AsyncIterator[bytes]


async def chunks(
    transaction: ReadTransaction, selection: Selection, moment: Moment, seconds: float
) -> AsyncIterator[bytes]:
    """Each VM as `vm:added`, then `snapshot:done`. Raises TooSlowError for a client that does not take them in time.

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
