"""What is done to the world: each act breaks one thing, waits, and makes it whole again.

A function per act and one table. What an act hits is drawn with it, so the schedule says all that will happen.
"""

import asyncio
import signal
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

from soak.report import say
from soak.schedule import Kind, Planned, Range
from soak.world import Site, World

from summit_simulator.faults import GARBAGE, INVALID_UTF8

KUBEVIRT = "kubevirt.io"
"""Part of the paths of all that is watched."""
VMS, INSTANCES, MIGRATIONS = "virtualmachines", "virtualmachineinstances", "virtualmachineinstancemigrations"


# Processes


async def end(name: str, how: signal.Signals, world: World, planned: Planned) -> None:
    """Let a process end, be away for a while, and start it again."""
    part = world.parts[name]
    async with part.busy:
        await part.end(how)
        await asyncio.sleep(planned.lasts)
        await part.start()


async def freeze(name: str, world: World, planned: Planned) -> None:
    """Let a process stand still: every connection stays open, nothing is answered."""
    part = world.parts[name]
    async with part.busy, part.frozen():
        await asyncio.sleep(planned.lasts)


# Clusters


async def refuse(site: Site, seconds: float) -> None:
    """The API server is down."""
    site.cluster.faults.refuse_connections()
    await asyncio.sleep(seconds)
    await site.cluster.faults.accept_connections()


async def restart(site: Site, seconds: float) -> None:
    """The API server restarts: when it is back, it does not know the resourceVersions of before."""
    site.cluster.faults.refuse_connections()
    await asyncio.sleep(seconds)
    site.cluster.forget_history()
    await site.cluster.faults.accept_connections()


async def abort(site: Site, seconds: float) -> None:
    """Every connection is reset, again and again."""
    for _ in range(1 + int(seconds)):
        site.cluster.faults.abort_connections()
        await asyncio.sleep(1)


async def half_open(site: Site, seconds: float) -> None:
    """Connected, and silent in both directions."""
    site.cluster.faults.freeze()
    await asyncio.sleep(seconds)
    site.cluster.faults.unfreeze()


async def expire(site: Site, _: float) -> None:
    """The window of history moves to now, and every watch ends."""
    site.cluster.forget_history()
    site.cluster.faults.close_streams()


async def expire_lists(site: Site, seconds: float) -> None:
    """Streaming lists are off, the window moves, and every list loses its snapshot on the second page."""
    site.cluster.faults.watch_list = False
    with answering(site, 410, verb="list", page=2):
        await expire(site, seconds)
        await asyncio.sleep(seconds)
    site.cluster.faults.watch_list = True


async def close_streams(site: Site, _: float) -> None:
    site.cluster.faults.close_streams(abort=True)


async def close_at_once(site: Site, seconds: float) -> None:
    """Each watch is answered and ends before its first event."""
    site.cluster.faults.close_watches_at_once = True
    site.cluster.faults.close_streams()
    await asyncio.sleep(seconds)
    site.cluster.faults.close_watches_at_once = False


async def send_garbage(site: Site, _: float) -> None:
    """Lines that cannot be read, a half one, and an error in mid-stream, each to another resource."""
    faults = site.cluster.faults
    faults.send_garbage(VMS, line=GARBAGE)
    faults.send_garbage(INSTANCES, line=INVALID_UTF8)
    faults.send_truncated(MIGRATIONS)
    faults.send_error(500, resource="virtualmachineclusterinstancetypes")


async def send_expired(site: Site, _: float) -> None:
    """410 as an event in mid-stream: what a real server does."""
    site.cluster.faults.send_error(410, "too old resource version")


async def answer(code: int, site: Site, seconds: float, *, retry_after: int | None = None) -> None:
    """Every request is refused with this code, and no watch goes on."""
    with answering(site, code, retry_after=retry_after):
        site.cluster.faults.close_streams()
        await asyncio.sleep(seconds)


async def forbid(resource: str, site: Site, seconds: float) -> None:
    """One resource may not be read for a while."""
    rule = site.cluster.access.forbid("*", resource)
    site.cluster.faults.close_streams()
    await asyncio.sleep(seconds)
    site.cluster.access.allow(rule)


async def uninstall(site: Site, seconds: float) -> None:
    """KubeVirt is not there for a while."""
    site.cluster.uninstall_kubevirt()
    await asyncio.sleep(seconds)
    site.cluster.install_kubevirt()


async def rotate_token(site: Site, seconds: float) -> None:
    """The token is revoked, and only after a while the kubeconfig has the new one."""
    site.cluster.access.revoke("admin")
    site.cluster.access.add_token("admin")
    site.cluster.faults.close_streams()
    await asyncio.sleep(seconds)
    site.write_kubeconfig()


async def slow(site: Site, seconds: float) -> None:
    site.cluster.faults.delay_seconds = 1.5
    await asyncio.sleep(seconds)
    site.cluster.faults.delay_seconds = 0.0


async def edit_config(world: World, planned: Planned) -> None:
    """The entry of one cluster names another kubeconfig, and for a moment the file is half saved."""
    site = _site(world, planned)
    text = world.config.read_text()
    world.config.write_text(text[: len(text) // 2])
    await asyncio.sleep(planned.lasts)
    site.kubeconfigs += 1
    site.write_kubeconfig()
    world.write_config()


@contextmanager
def answering(site: Site, code: int, **which: Any) -> Iterator[None]:
    """Answer requests for what is watched with this code while the block runs."""
    given = site.cluster.faults.respond(code, KUBEVIRT, **which)
    yield
    site.cluster.faults.stop_responding(given)


def _site(world: World, planned: Planned) -> Site:
    return world.sites[planned.number % len(world.sites)]


Act = Callable[[World, Planned], Coroutine[Any, Any, None]]
SiteAct = Callable[[Site, float], Coroutine[Any, Any, None]]
KILL, TERM, FAST, IMMEDIATE = signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGQUIT
BRIEF, SHORT, LONG = Range(0, 0.5), Range(1, 6), Range(3, 10)


class Entry(NamedTuple):
    """A line of the table."""

    act: Act
    kind: Kind
    hits_site: bool = False


def _on_site(act: SiteAct, lasts: Range, weight: int = 10, heals_seconds: float = 10.0) -> Entry:
    async def hit(world: World, planned: Planned) -> None:
        await act(_site(world, planned), planned.lasts)

    return Entry(hit, Kind(lasts, weight, heals_seconds=heals_seconds), hits_site=True)


ACTS: Mapping[str, Entry] = {
    "kill -9 watcher": Entry(partial(end, "watcher", KILL), Kind(BRIEF, ends_service=True)),
    "kill -9 projector": Entry(partial(end, "projector", KILL), Kind(BRIEF, ends_service=True)),
    "kill -9 api": Entry(partial(end, "api", KILL), Kind(BRIEF, 5, ends_service=True)),
    "SIGTERM watcher": Entry(partial(end, "watcher", TERM), Kind(SHORT, ends_service=True)),
    "SIGTERM projector": Entry(partial(end, "projector", TERM), Kind(SHORT, ends_service=True)),
    "SIGTERM api": Entry(partial(end, "api", TERM), Kind(BRIEF, 5, ends_service=True)),
    "kill -9 nats": Entry(partial(end, "nats", KILL), Kind(SHORT)),
    "SIGTERM nats": Entry(partial(end, "nats", TERM), Kind(SHORT, 5)),
    "freeze nats": Entry(partial(freeze, "nats"), Kind(LONG)),
    "fast restart of postgres": Entry(partial(end, "postgres", FAST), Kind(SHORT)),
    "immediate restart of postgres": Entry(partial(end, "postgres", IMMEDIATE), Kind(SHORT)),
    "freeze postgres": Entry(partial(freeze, "postgres"), Kind(LONG)),
    "freeze watcher": Entry(partial(freeze, "watcher"), Kind(LONG, 5)),
    "freeze projector": Entry(partial(freeze, "projector"), Kind(LONG, 5)),
    "apiserver refuses": _on_site(refuse, SHORT),
    "apiserver restarts": _on_site(restart, SHORT),
    "apiserver resets": _on_site(abort, SHORT),
    "apiserver is half-open": _on_site(half_open, LONG),
    "history expires": _on_site(expire, BRIEF),
    "lists expire": _on_site(expire_lists, SHORT),
    "410 in mid-stream": _on_site(send_expired, BRIEF),
    "streams break": _on_site(close_streams, BRIEF),
    "watches end at once": _on_site(close_at_once, SHORT),
    "garbage": _on_site(send_garbage, BRIEF),
    "429 with Retry-After": _on_site(partial(answer, 429, retry_after=2), SHORT),
    "503": _on_site(partial(answer, 503), SHORT),
    "VMs forbidden": _on_site(partial(forbid, VMS), SHORT, weight=3, heals_seconds=20),
    "instances forbidden": _on_site(partial(forbid, INSTANCES), SHORT, weight=3, heals_seconds=20),
    "migrations forbidden": _on_site(partial(forbid, MIGRATIONS), SHORT, weight=3, heals_seconds=20),
    "KubeVirt absent": _on_site(uninstall, SHORT, weight=2, heals_seconds=60),
    "token rotated": _on_site(rotate_token, SHORT, weight=5, heals_seconds=20),
    "slow answers": _on_site(slow, SHORT),
    "configuration edited": Entry(edit_config, Kind(Range(0, 7), 5)),
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
            whom = f" of {_site(world, act).name}" if entry.hits_site else ""
            say(f"{act.act}{whom}, {act.lasts:.1f} s")
            done[act.act] += 1
            tasks.create_task(entry.act(world, act), name=act.act)


async def heal(world: World) -> None:
    """Make sure that nothing is broken any more: acts that overlap may leave what the other has broken."""
    for site in world.sites:
        await site.cluster.faults.clear()
        site.cluster.access.rules.clear()
        site.cluster.install_kubevirt()
        site.write_kubeconfig()
    world.write_config()
