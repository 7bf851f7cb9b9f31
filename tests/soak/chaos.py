"""Chaos: the table of all acts, and a schedule of them let loose on a world."""

import asyncio
import signal
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial

from soak import acts
from soak.operations import mishaps
from soak.part import Part
from soak.report import show
from soak.schedule import Act, Planned, Range
from soak.world import World

from summit_simulator.objects.resources import KUBEVIRT_GROUPS

BRIEF, SHORT, LONG, MINUTES = Range(0, 0.5), Range(1, 6), Range(3, 10), Range(40, 80)
RARE, SELDOM, OFTEN = 1, 4, 10


def _ends(part: str, how: signal.Signals, lasts: Range, weight: int = OFTEN) -> Act:
    return Act(partial(acts.end, how), lasts, weight, part, ends_service=part in ("watcher", "projector", "api"))


ACTS: Mapping[str, Act] = {
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
    "freeze nats": Act(acts.freeze, LONG, part="nats"),
    "freeze nats for long": Act(acts.freeze, MINUTES, RARE, part="nats"),
    "freeze postgres": Act(acts.freeze, LONG, part="postgres"),
    "freeze postgres for long": Act(acts.freeze, MINUTES, RARE, part="postgres"),
    "freeze watcher": Act(acts.freeze, LONG, part="watcher"),
    "freeze projector": Act(acts.freeze, LONG, SELDOM, part="projector"),
    "rebuild of the tables": Act(acts.rebuild, Range(4, 25), SELDOM, part="projector"),
    "apiserver refuses": Act(acts.refuse, SHORT),
    "apiserver restarts": Act(acts.restart, SHORT),
    "apiserver resets": Act(acts.abort, SHORT),
    "apiserver is half-open": Act(acts.half_open, LONG),
    "apiserver is half-open for long": Act(acts.half_open, MINUTES, RARE),
    "history expires": Act(acts.expire, BRIEF),
    "lists expire": Act(acts.expire_lists, SHORT),
    "410 in mid-stream": Act(acts.send_expired, BRIEF),
    "streams break": Act(acts.close_streams, BRIEF),
    "watches end at once": Act(acts.close_at_once, SHORT),
    "garbage": Act(acts.send_garbage, BRIEF),
    "429 with Retry-After": Act(partial(acts.answer, 429, retry_after=2), SHORT),
    "503": Act(partial(acts.answer, 503), SHORT),
    "VMs forbidden": Act(partial(acts.forbid, acts.VMS), SHORT, SELDOM, heals_seconds=20),
    "instances forbidden": Act(partial(acts.forbid, acts.INSTANCES), SHORT, SELDOM, heals_seconds=20),
    "migrations forbidden": Act(partial(acts.forbid, acts.MIGRATIONS), SHORT, SELDOM, heals_seconds=20),
    "instancetypes forbidden": Act(partial(acts.forbid, acts.INSTANCETYPES), SHORT, RARE, heals_seconds=20),
    "KubeVirt absent": Act(acts.uninstall, SHORT, RARE, heals_seconds=60),
    "token rotated": Act(acts.rotate_token, SHORT, SELDOM, heals_seconds=20),
    "slow answers": Act(acts.slow, SHORT),
    "configuration edited": Act(acts.edit_config, Range(0, 7), SELDOM),
    **{name: Act(partial(mishaps.spoil, how), SHORT, SELDOM) for name, how in mishaps.SPOILS.items()},
    "virt-api is down": Act(mishaps.without_virt_api, SHORT, SELDOM),
    "virt-controller is down": Act(mishaps.without_controllers, SHORT, SELDOM),
    "migrations stall": Act(mishaps.stall_migrations, LONG, SELDOM),
    "migrations fail": Act(mishaps.fail_migrations, LONG, SELDOM),
}
SPARING_SERVICES = {name: act for name, act in ACTS.items() if not act.ends_service}


async def unleash(world: World, planned: Sequence[Planned], done: Counter[str]) -> None:
    """Let the acts of a schedule happen at their times, and wait until the last has ended."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    async with asyncio.TaskGroup() as tasks:
        for at, name, number, lasts in planned:
            await asyncio.sleep(max(0.0, start + at - loop.time()))
            act = ACTS[name]
            targets = world.parts_of(act.part) if act.part else world.sites
            target = targets[number % len(targets)]
            if isinstance(target, Part) and target.busy.locked():
                show(f"{name}: left out, {target.name} is in trouble already")
                continue
            show(f"{name} ({target.name}), {lasts:.1f} s")
            done[name] += 1
            tasks.create_task(act.do(target, lasts), name=name)


async def heal(world: World) -> None:
    """Make sure that nothing is broken any more: acts that overlap may leave what the other has broken."""
    for site in world.sites:
        await site.cluster.faults.clear()
        site.cluster.access.rules.clear()
        site.cluster.install(KUBEVIRT_GROUPS)
        site.write_kubeconfig()
    world.config.write()
