"""Watchers that share fifty idle clusters: what one costs, and how soon others have the clusters of one that ends."""

import asyncio
import os
import signal
from dataclasses import dataclass
from pathlib import Path

from measure import Measure
from stack import DEADLINE_SECONDS, simulator, stack
from support.waiting import until
from support.watched import Healths, observing, shown_leases

from summit_models.cluster import ConnectionState as State
from summit_models.watcher import Place
from summit_runtime.nats.streams.leases import LeaseTable

CLUSTERS, VMS = 50, 10
IDLE_SECONDS = 20
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


async def measure_leases(directory: Path) -> list[Measure]:
    async with (
        simulator(directory / "idle", {f"idle-{number}": VMS for number in range(CLUSTERS)}) as kubeconfigs,
        stack(directory, kubeconfigs) as running,
        observing(running.environment["NATS_URL"]) as (_, healths),
        shown_leases(running.environment["NATS_URL"]) as table,
        running.service("watcher") as first,
    ):
        fleet = _Fleet(table, healths)
        await fleet.shared(1)
        cpu = await _idle(first.pid)
        async with running.service("watcher") as second, running.service("watcher") as third:
            await fleet.shared(3)
            killed = await _watched_again(fleet, second, signal.SIGKILL)
            await fleet.shared(2)
            stopped = await _watched_again(fleet, third, signal.SIGTERM)
    return [
        Measure(f"a watcher of {CLUSTERS} idle clusters", cpu, "% of core", 1.0),
        Measure(
            "watcher killed, to its clusters watched again", killed[1], "s", 5.0, remark=f"taken: {killed[0]:.1f} s"
        ),
        Measure("watcher stopped, to its clusters taken", stopped[0], "s", 1.0, remark=f"watched: {stopped[1]:.1f} s"),
    ]


@dataclass
class _Fleet:
    """Who has which cluster, and reports it."""

    table: LeaseTable
    healths: Healths

    def of(self, pid: int) -> set[Place]:
        """The clusters whose leases a process has."""
        return {place for place, lease in self.table.leases().items() if lease.watcher.endswith(f"/{pid}")}

    def watched(self) -> set[Place]:
        """The clusters that are reported as synced by the watcher that has them."""
        reports, leases = self.healths.newest, self.table.leases()
        return {
            place
            for place, lease in leases.items()
            if (report := reports.get(place.cluster))
            and (report.watcher, report.state) == (lease.watcher, State.SYNCED)
        }

    async def shared(self, watchers: int) -> None:
        """Wait until so many watchers share the clusters evenly, and report them."""

        def loads() -> list[int]:
            runs = [lease.run for lease in self.table.leases().values()]
            return [runs.count(member.run) for member in self.table.members()]

        await until(
            lambda: (loads(), len(self.watched())),
            lambda seen: len(seen[0]) == watchers and max(seen[0]) - min(seen[0]) <= 1 and seen[1] == CLUSTERS,
            seconds=DEADLINE_SECONDS,
        )


async def _idle(pid: int) -> float:
    """Percent of a core, over a while in which nothing happens."""
    before = _ticks(pid)
    await asyncio.sleep(IDLE_SECONDS)
    return 100 * (_ticks(pid) - before) / TICKS_PER_SECOND / IDLE_SECONDS


def _ticks(pid: int) -> int:
    """User and system time of a process, from /proc/<pid>/stat."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


async def _watched_again(
    fleet: _Fleet, watcher: asyncio.subprocess.Process, how: signal.Signals
) -> tuple[float, float]:
    """Seconds from a signal to a watcher until others have taken its clusters, and until they report them as synced."""
    places, now = fleet.of(watcher.pid), asyncio.get_running_loop().time
    started = now()
    watcher.send_signal(how)
    await until(lambda: not fleet.of(watcher.pid) and places <= fleet.table.leases().keys(), seconds=DEADLINE_SECONDS)
    taken = now() - started
    await until(lambda: places <= fleet.watched(), seconds=DEADLINE_SECONDS)
    return taken, now() - started
