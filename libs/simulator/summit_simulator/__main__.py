"""`python -m summit_simulator`: the process that docker compose and `summit-connect demo` run, see settings.py."""

import asyncio
import contextlib
import os
import signal
import sys
import time

from summit_simulator.cluster import SimulatedCluster
from summit_simulator.fleet.life import Life
from summit_simulator.fleet.seed import seed_fleet
from summit_simulator.settings import ClusterSetting, Settings, read_settings

# 2026-01-01. resourceVersions start at the milliseconds since then, so that a simulator that is started again
# continues above its former ones instead of looking like an etcd restored from a backup.
REVISIONS_SINCE = 1_767_225_600.0


def main() -> None:
    """Read the environment and simulate until SIGTERM or SIGINT."""
    try:
        settings = read_settings(os.environ)
    except ValueError as error:
        sys.exit(str(error))
    asyncio.run(_run(settings))


async def _run(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        lives = []
        for index, wanted in enumerate(settings.clusters):
            cluster = _cluster(settings, wanted, index)
            seed_fleet(cluster, vms=wanted.vms, seed=settings.seed)
            await stack.enter_async_context(cluster)
            path = cluster.write_kubeconfig(settings.kubeconfig_dir / f"{wanted.name}.kubeconfig")
            sys.stdout.write(f"cluster {wanted.name}: {wanted.vms} VMs at {cluster.url}, kubeconfig {path}\n")
            sys.stdout.flush()
            lives.append(Life(cluster, seed=settings.seed))
            if stop.is_set():
                return
        await _live(lives if settings.rate else [], settings.rate, stop)


async def _live(lives: list[Life], events_per_minute: float, stop: asyncio.Event) -> None:
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(life.run(events_per_minute=events_per_minute)) for life in lives]
        await stop.wait()
        for task in running:
            task.cancel()


def _cluster(settings: Settings, wanted: ClusterSetting, index: int) -> SimulatedCluster:
    return SimulatedCluster(
        wanted.name,
        tls=settings.tls,
        host=settings.host,
        port=settings.base_port + index if settings.base_port else 0,
        advertise_host=settings.advertise_host,
        seed=settings.seed,
        speed=settings.speed,
        first_revision=int((time.time() - REVISIONS_SINCE) * 1000),
    )


if __name__ == "__main__":
    main()
