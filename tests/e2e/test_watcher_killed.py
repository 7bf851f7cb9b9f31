"""A watcher process that is killed at any moment: no event is lost, published twice or wrong."""

import asyncio
import os
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from support import oracle
from support.waiting import until
from support.watched import Log, configure, observing

from summit_simulator.cluster import SimulatedCluster

VMS = "virtualmachines"


@asynccontextmanager
async def killed(nats_url: str, config: Path) -> AsyncIterator[None]:
    """Run a watcher process while the block runs, and kill it at the end with SIGKILL."""
    environment = os.environ | {"NATS_URL": nats_url, "WATCHER_CONFIG": str(config), "LOG_LEVEL": "WARNING"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "summit_watcher", env=environment, stdin=asyncio.subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.kill()
        await process.wait()


def count(log: Log) -> int:
    return sum(1 for _ in oracle.events_of(log.messages, "vms"))


async def test_a_watcher_that_is_killed_between_two_events_loses_nothing_and_repeats_nothing(
    nats_url: str, tmp_path: Path
) -> None:
    """Each time before it could note how far it had come; VMs come and go while it is down, too."""
    async with SimulatedCluster("vulcan", bookmark_seconds=0.3) as cluster, observing(nats_url) as (log, healths):
        config = configure(tmp_path, {"vulcan": cluster.write_kubeconfig(tmp_path / "vulcan.yaml")})
        lives = Lives(cluster)
        async with killed(nats_url, config):
            await log.agrees(cluster)
            await until(lambda: healths.position("vulcan", VMS))
        for _ in range(2):
            await lives.go_on()
            before = count(log)
            async with killed(nats_url, config):
                await until(lambda before=before: count(log) > before)  # type: ignore[misc]
                await lives.go_on()
                seen = count(log)
                await until(lambda seen=seen: count(log) > seen + 3)  # type: ignore[misc]
        async with killed(nats_url, config):
            await log.agrees(cluster)
            await until(lambda: oracle.replay(log.messages).ended.keys() == lives.ended)
        replay = oracle.replay(log.messages)
        assert (replay.violations, replay.returned) == ([], [])


class Lives:
    """VMs that are made, started, changed and deleted, a few each time; some within the same moment."""

    def __init__(self, cluster: SimulatedCluster) -> None:
        self._cluster = cluster
        self._random = random.Random(7)  # noqa: S311  to be repeated, not to be secret
        self._number = 0
        self._alive: list[dict[str, object]] = []

    @property
    def ended(self) -> set[str]:
        """The uids of all that have been deleted so far, by the cluster's journal."""
        journal = self._cluster.store.journal
        return {change.uid for change in journal if (change.type, change.resource) == ("DELETED", VMS)}

    async def go_on(self) -> None:
        for _ in range(6):
            self._number += 1
            self._alive.append(self._cluster.create_vm(f"vm-{self._number}", run_strategy="Always"))
        await self._cluster.settle()
        for _ in range(4):
            self._cluster.delete(VMS, self._alive.pop(self._random.randrange(len(self._alive))))
        self._cluster.delete(VMS, self._cluster.create_vm("again"))
        await self._cluster.settle()
