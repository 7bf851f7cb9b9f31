"""Many changes per second, for benchmarks: watch lines are put together from prebuilt bytes.

Each change sets the label `blast` of one VM to a new number, so that a reader of normalized state sees
a change. Nothing is decoded or encoded per event; the store stays true, as after any other write.
"""

import asyncio
from typing import NamedTuple

from summit_simulator.cluster import SimulatedCluster
from summit_simulator.objects.manifest import encode, metadata
from summit_simulator.objects.resources import Resource, named
from summit_simulator.objects.store import Record

LABEL = "blast"
_NUMBER, _REVISION = "@number@", "@revision@"
# Pacing in slices: below the resolution of a latency that anybody measures here.
SLICE_SECONDS = 0.01


class Prebuilt(NamedTuple):
    """One object, cut at the two places that change. Keys are sorted: labels come before resourceVersion."""

    record: Record
    head: bytes
    middle: bytes
    tail: bytes


class Blast:
    """A source of MODIFIED events over the objects that exist now."""

    def __init__(self, cluster: SimulatedCluster, *, plural: str = "virtualmachines", objects: int = 1000) -> None:
        self._cluster = cluster
        self._resource: Resource = named(plural)
        records = cluster.store.records(self._resource)[:objects]
        if not records:
            raise ValueError(f"cluster {cluster.name!r} has no {plural} to change: seed a fleet first")
        self._prebuilt = [_prebuild(record) for record in records]
        self.sent = 0

    def send(self, events: int) -> None:
        """Change that many objects, one after the other, at once."""
        store = self._cluster.store
        with self._cluster.suspended():
            for _ in range(events):
                store.put_record(self._resource, self._next(store.revision + 1))

    async def run(self, *, events_per_second: float, seconds: float) -> int:
        """Change objects at an even rate; returns how many were changed.

        A slice that comes late is made up for, so the average holds even on a busy machine.
        """
        loop = asyncio.get_running_loop()
        start, before = loop.time(), self.sent
        while (elapsed := loop.time() - start) < seconds:
            self.send(int(events_per_second * elapsed) - (self.sent - before))
            await asyncio.sleep(SLICE_SECONDS)
        self.send(int(events_per_second * seconds) - (self.sent - before))
        return self.sent - before

    def _next(self, revision: int) -> Record:
        built = self._prebuilt[self.sent % len(self._prebuilt)]
        self.sent += 1
        number = str(self.sent)
        data = b"".join((built.head, number.encode(), built.middle, str(revision).encode(), built.tail))
        record = built.record
        labels = {**record.labels, LABEL: number}
        return Record(record.namespace, record.name, record.uid, revision, labels, data)


def _prebuild(record: Record) -> Prebuilt:
    manifest = record.manifest()
    meta = metadata(manifest)
    meta["labels"] = {**(meta.get("labels") or {}), LABEL: _NUMBER}
    meta["resourceVersion"] = _REVISION
    head, rest = encode(manifest).split(_NUMBER.encode(), 1)
    middle, tail = rest.split(_REVISION.encode(), 1)
    return Prebuilt(record, head, middle, tail)
