"""Chaos: the table of all acts, and a schedule of them let loose on a world."""

import asyncio
import signal
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from soak import acts
from soak.part import Part
from soak.report import show
from soak.schedule import Kind, Planned, Range
from soak.world import Site, World


@dataclass(frozen=True)
class Entry:
    """An act, how often and how long it happens, and what it hits."""

    act: Callable[[Any, float], Coroutine[Any, Any, None]]
    kind: Kind
    part: str = ""
    """Name of a process; else it hits a cluster, another one each time."""

    def target(self, world: World, number: int) -> Part | Site:
        return world.parts[self.part] if self.part else world.sites[number % len(world.sites)]


BRIEF, SHORT, LONG, MINUTES = Range(0, 0.5), Range(1, 6), Range(3, 10), Range(40, 80)
RARE, SELDOM, OFTEN = 1, 4, 10


def _on(part: str, act: Callable[[Part, float], Coroutine[Any, Any, None]], lasts: Range, weight: int = OFTEN) -> Entry:
    return Entry(act, Kind(lasts, weight), part)


def _ends(part: str, how: signal.Signals, lasts: Range, weight: int = OFTEN) -> Entry:
    return Entry(
        partial(acts.end, how), Kind(lasts, weight, ends_service=part in ("watcher", "projector", "api")), part
    )


def _on_cluster(
    act: Callable[[Site, float], Coroutine[Any, Any, None]],
    lasts: Range,
    weight: int = OFTEN,
    heals_seconds: float = 10.0,
) -> Entry:
    return Entry(act, Kind(lasts, weight, heals_seconds=heals_seconds))


ACTS: Mapping[str, Entry] = {
    "kill -9 watcher": _ends("watcher", signal.SIGKILL, BRIEF),
    "kill -9 projector": _ends("projector", signal.SIGKILL, BRIEF),
    "kill -9 api": _ends("api", signal.SIGKILL, BRIEF, SELDOM),
    "SIGTERM watcher": _ends("watcher", signal.SIGTERM, SHORT),
    "SIGTERM projector": _ends("projector", signal.SIGTERM, SHORT),
    "SIGTERM api": _ends("api", signal.SIGTERM, BRIEF, SELDOM),
    "kill -9 nats": _ends("nats", signal.SIGKILL, SHORT),
    "SIGTERM nats": _ends("nats", signal.SIGTERM, SHORT, SELDOM),
    "nats is away for long": _ends("nats", signal.SIGTERM, MINUTES, RARE),
    "fast restart of postgres": _ends("postgres", signal.SIGINT, SHORT),
    "immediate restart of postgres": _ends("postgres", signal.SIGQUIT, SHORT),
    "postgres is away for long": _ends("postgres", signal.SIGINT, MINUTES, RARE),
    "freeze nats": _on("nats", acts.freeze, LONG),
    "freeze nats for long": _on("nats", acts.freeze, MINUTES, RARE),
    "freeze postgres": _on("postgres", acts.freeze, LONG),
    "freeze postgres for long": _on("postgres", acts.freeze, MINUTES, RARE),
    "freeze watcher": _on("watcher", acts.freeze, LONG, SELDOM),
    "freeze projector": _on("projector", acts.freeze, LONG, SELDOM),
    "rebuild of the tables": _on("projector", acts.rebuild, Range(4, 25), SELDOM),
    "apiserver refuses": _on_cluster(acts.refuse, SHORT),
    "apiserver restarts": _on_cluster(acts.restart, SHORT),
    "apiserver resets": _on_cluster(acts.abort, SHORT),
    "apiserver is half-open": _on_cluster(acts.half_open, LONG),
    "apiserver is half-open for long": _on_cluster(acts.half_open, MINUTES, RARE),
    "history expires": _on_cluster(acts.expire, BRIEF),
    "lists expire": _on_cluster(acts.expire_lists, SHORT),
    "410 in mid-stream": _on_cluster(acts.send_expired, BRIEF),
    "streams break": _on_cluster(acts.close_streams, BRIEF),
    "watches end at once": _on_cluster(acts.close_at_once, SHORT),
    "garbage": _on_cluster(acts.send_garbage, BRIEF),
    "429 with Retry-After": _on_cluster(partial(acts.answer, 429, retry_after=2), SHORT),
    "503": _on_cluster(partial(acts.answer, 503), SHORT),
    "VMs forbidden": _on_cluster(partial(acts.forbid, acts.VMS), SHORT, SELDOM, heals_seconds=20),
    "instances forbidden": _on_cluster(partial(acts.forbid, acts.INSTANCES), SHORT, SELDOM, heals_seconds=20),
    "migrations forbidden": _on_cluster(partial(acts.forbid, acts.MIGRATIONS), SHORT, SELDOM, heals_seconds=20),
    "instancetypes forbidden": _on_cluster(partial(acts.forbid, acts.INSTANCETYPES), SHORT, RARE, heals_seconds=20),
    "KubeVirt absent": _on_cluster(acts.uninstall, SHORT, RARE, heals_seconds=60),
    "token rotated": _on_cluster(acts.rotate_token, SHORT, SELDOM, heals_seconds=20),
    "slow answers": _on_cluster(acts.slow, SHORT),
    "configuration edited": _on_cluster(acts.edit_config, Range(0, 7), SELDOM),
}
KINDS = {name: entry.kind for name, entry in ACTS.items()}
SPARING_SERVICES = {name: kind for name, kind in KINDS.items() if not kind.ends_service}


async def unleash(world: World, planned: Sequence[Planned], done: Counter[str]) -> None:
    """Let the acts of a schedule happen at their times, and wait until the last has ended."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    async with asyncio.TaskGroup() as tasks:
        for act in planned:
            await asyncio.sleep(max(0.0, start + act.at - loop.time()))
            entry = ACTS[act.act]
            target = entry.target(world, act.number)
            whom = "" if entry.part else f" ({target.name})"
            if isinstance(target, Part) and target.busy.locked():
                show(f"{act.act}: left out, {target.name} is in trouble already")
                continue
            show(f"{act.act}{whom}, {act.lasts:.1f} s")
            done[act.act] += 1
            tasks.create_task(entry.act(target, act.lasts), name=act.act)


async def heal(world: World) -> None:
    """Make sure that nothing is broken any more: acts that overlap may leave what the other has broken."""
    for site in world.sites:
        await site.cluster.faults.clear()
        site.cluster.access.rules.clear()
        site.cluster.install_kubevirt()
        site.write_kubeconfig()
    world.config.write()
