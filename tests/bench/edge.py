"""A watcher far away from NATS: its first list over a long line and over a bad one, and its restart over the first.

The line is a proxy, since a kernel with netem is not everywhere. TCP that loses 2 % of its segments at a round trip of
400 ms carries 30 kB/s with the congestion control `cubic`, and more with `bbr`; the bad line has twice as much, and
each lost segment holds it up for a round trip.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from measure import Measure
from support.bad_line import bad_line
from support.waiting import until
from support.watched import Healths, Log, configure, observing, watching

from summit_runtime import metrics
from summit_simulator.cluster import SimulatedCluster
from summit_simulator.fleet.seed import seed_fleet
from summit_standalone.embedded.nats import embedded_nats
from summit_watcher import metrics as watcher_metrics

DEADLINE_SECONDS = 600.0


class Line(NamedTuple):
    name: str
    vms: int
    delay_seconds: float
    bytes_per_second: float
    loss: float
    budget_seconds: float


LONG = Line("edge, 400 ms round trip", 3000, 0.2, 1e9, 0.0, 20)
BAD = Line("edge, 400 ms, 60 kB/s, 2 % lost", 1000, 0.2, 60_000, 0.02, 120)


async def measure_edge(directory: Path) -> list[Measure]:
    return [measured for line in (LONG, BAD) for measured in await _over(line, directory)]


async def _over(line: Line, directory: Path) -> list[Measure]:
    resent = metrics.RESENT._value.get()
    lost = watcher_metrics.LEASES_LOST._value.get()
    async with SimulatedCluster("edge") as cluster, _hub(line, directory) as (url, log, healths):
        seed_fleet(cluster, vms=line.vms)
        config = configure(directory, {cluster.name: cluster.write_kubeconfig(directory / "kubeconfig")})
        runs = ["first list", "restart"] if line is LONG else ["first list"]
        seconds = {run: await _until_synced(line, url, config, log, healths) for run in runs}
    return [
        *(Measure(f"{line.name}: {run} of {line.vms} VMs", seconds[run], "s", line.budget_seconds) for run in runs),
        Measure(f"{line.name}: events sent again", metrics.RESENT._value.get() - resent, "events", 0),
        Measure(f"{line.name}: leases lost", watcher_metrics.LEASES_LOST._value.get() - lost, "leases", 0),
    ]


@asynccontextmanager
async def _hub(line: Line, directory: Path) -> AsyncIterator[tuple[str, Log, Healths]]:
    """NATS at the other end of the line, and what is seen there."""
    async with (
        embedded_nats(directory / f"nats-{line.vms}") as near,
        observing(near) as (log, healths),
        bad_line(near, delay_seconds=line.delay_seconds, bytes_per_second=line.bytes_per_second, loss=line.loss) as far,
    ):
        yield far.url, log, healths


async def _until_synced(line: Line, url: str, config: Path, log: Log, healths: Healths) -> float:
    """Seconds from the start of a watcher until the log has all VMs, and readers know that it is up to date."""
    began_at, started_at = time.monotonic(), datetime.now(UTC)

    def is_done() -> bool:
        health = healths.newest.get("edge")
        return bool(health) and health.since > started_at and health.state == "synced" and len(log.messages) > line.vms

    async with watching(url, config):
        await until(is_done, seconds=DEADLINE_SECONDS)
        return time.monotonic() - began_at
