"""A soak from beginning to end: chaos of every kind, a truce, chaos around services that live on, rest, the verdict."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
from soak import chaos, evidence, verdict
from soak.evidence import Evidence
from soak.follower import Follower
from soak.operations import judging
from soak.operations.asking import People
from soak.operations.recorder import Recorder
from soak.part import Size
from soak.population import Population
from soak.report import acts_table, findings_list, show, sizes_table
from soak.schedule import Act, schedule
from soak.witness import Witness, sizes
from soak.world import LOOK_SECONDS, World, living_world
from support.oracle import differing

RECEIVED_SECONDS = 45.0
"""A feed that broke silently is given up after 40."""
IDLE_CONNECTION_SECONDS = 20
"""Each act on a VM may use a connection of its own, which aiohttp keeps for 15 s more."""
STILL_SECONDS = 2.0
"""Without a change for so long, a fleet stands still: a boot takes 1.6 s."""


@dataclass(frozen=True)
class Plan:
    """How long, how large, which one."""

    seconds: float
    seed: int
    clusters: int = 5
    vms: int = 40
    """VMs of each cluster at the beginning."""
    operation_seconds: int = 40
    """The longest deadline of an operation. One whose watcher is gone ends half a minute later."""
    heal_seconds: float = 60.0
    """How long after the last act things may need to heal: the longest is the look for a KubeVirt that was absent."""
    patience_seconds: float = 90.0
    """When they must have. Longer than the longest pause of a list-watch, and than one that is due just now."""


@dataclass
class Outcome:
    """The findings against each claim, and the report for people."""

    findings: dict[str, list[str]]
    report: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not any(self.findings.values())


async def soak(plan: Plan, directory: Path) -> Outcome:
    """Run one soak in an empty directory, which keeps data and logs."""
    show(f"soak of {plan.seconds:.0f} s, SEED={plan.seed}, {plan.clusters} clusters of {plan.vms} VMs, in {directory}")
    async with living_world(directory, clusters=plan.clusters, vms=plan.vms, seed=plan.seed) as world:
        witness, follower, done = Witness(world), Follower(world), Counter[str]()
        recorders = {site.name: Recorder(site.cluster.store) for site in world.sites}
        people = People(world, plan.seed, plan.operation_seconds)
        trouble = []
        async with _background(witness.watch()), _background(follower.follow()):
            trouble += await _round(Round(1, chaos.ACTS), plan, world, people, done)
            before = sizes(world)
            trouble += await _round(Round(2, chaos.SPARING_SERVICES), plan, world, people, done)
            await witness.look()
            seen, after = await evidence.gather(world), await _sizes_at_rest(world, before)
            await _until_received(follower, seen)
        courses = judging.Courses(
            people.asked,
            judging.steps_of(seen.messages),
            {site.name: list(site.cluster.acts) for site in world.sites},
            recorders,
            seen.listed_operations,
        )
        findings = {
            "all was well in time": trouble,
            "the API never showed an existing VM as gone": witness.false_deletes,
            "a client of the feed received each change once, in order": list(
                follower.complaints(seen.news(), seen.shown())
            ),
            "processes end only when they are ended, and in order": world.complaints(),
            "nothing failed in a way that nobody foresaw": [
                line for part in world.parts.values() for line in part.unforeseen()
            ],
            "memory and open files are flat": verdict.growth(before, after, world),
            **verdict.judge(seen, world),
            **judging.judge(courses),
        }
        report = [
            *_figures(world, witness, follower, seen, done),
            *judging.figures(courses, people.cancels),
            *_sizes(world, before, after),
            *findings_list(findings),
        ]
        return Outcome(findings, report + verdict.first_difference(seen))


async def _sizes_at_rest(world: World, before: Mapping[str, Size]) -> Mapping[str, Size]:
    """The sizes once they are back at those before, at the latest when the connections of the last acts have ended."""
    for _ in range(IDLE_CONNECTION_SECONDS):
        if not verdict.growth(before, sizes(world), world):
            break
        await asyncio.sleep(1)
    return sizes(world)


class Round(NamedTuple):
    """One half of a soak."""

    number: int
    kinds: Mapping[str, Act]


async def _round(this: Round, plan: Plan, world: World, people: People, done: Counter[str]) -> list[str]:
    """Chaos among living fleets for half the time, then rest; what is not well in time."""
    number, kinds = this
    seed = 2 * plan.seed + number
    unseen = kinds.keys() - done.keys()
    planned = schedule(kinds, seed=seed, seconds=plan.seconds / 2, heal_seconds=plan.heal_seconds, first=unseen)
    show(f"round {number} of chaos: {len(planned)} acts")
    async with asyncio.TaskGroup() as tasks:
        lives = [tasks.create_task(Population(site, seed).run()) for site in world.sites]
        lives.append(tasks.create_task(people.run()))
        await chaos.unleash(world, planned, done)
        await chaos.heal(world)
        for life in lives:
            life.cancel()
    show(f"round {number} has ended; waiting for health, {plan.patience_seconds:.0f} s at most")
    return await _until_well(world, plan.patience_seconds)


async def _until_well(world: World, patience_seconds: float) -> list[str]:
    """Wait until all are ready and the API shows the truth; what was still wrong after the deadline."""
    trouble = ["the fleets do not come to rest"]
    try:
        async with asyncio.timeout(patience_seconds):
            await _until_still(world)
            while trouble := await _trouble(world):  # noqa: ASYNC110  processes are asked
                await asyncio.sleep(LOOK_SECONDS)
    except TimeoutError:
        return trouble
    return []


async def _until_received(follower: Follower, seen: Evidence) -> None:
    """The feed follows the tables, and may have to reconnect."""
    with suppress(TimeoutError):
        async with asyncio.timeout(RECEIVED_SECONDS):
            while follower.revision < max(seen.news()):  # noqa: ASYNC110  it has no event
                await asyncio.sleep(LOOK_SECONDS)


async def _until_still(world: World) -> None:
    """The fleets have stopped changing: what was started has booted, what was deleted is gone."""
    before: list[int] = []
    while (now := [site.cluster.store.revision for site in world.sites]) != before:
        before = now
        await asyncio.sleep(STILL_SECONDS)


async def _trouble(world: World) -> list[str]:
    """The parts that are not well yet, by the API alone; the verdict looks deeper."""
    if unready := await world.unready():
        return unready
    try:
        clusters = (await world.get("/api/v1/clusters"))["items"]
        if sick := [f"{c['name']} is {c['state']}: {c['reason']}" for c in clusters if c["state"] != "synced"]:
            return sick
        if uneven := await _uneven(world):
            return uneven
        if under_way := (await world.get("/api/v1/operations", ended="false"))["items"]:
            return [f"{len(under_way)} operations have not ended, for example {under_way[0]}"]
        return await _untrue(world)
    except httpx2.HTTPError as error:
        return [f"the API does not answer: {type(error).__name__}"]


async def _uneven(world: World) -> list[str]:
    """Whether the clusters are not spread evenly over the watchers that run, and over nobody else."""
    shown = {watcher["id"]: len(watcher["clusters"]) for watcher in (await world.get("/api/v1/watchers"))["items"]}
    running = {size.pid for part in world.parts_of("watcher") if (size := part.size())}
    if {int(id_.rpartition("/")[2]) for id_ in shown} != running or sum(shown.values()) != len(world.sites):
        return [f"the watchers with the processes {sorted(running)} run, and the API shows {shown}"]
    return [f"the clusters are spread unevenly: {shown}"] if max(shown.values()) - min(shown.values()) > 1 else []


async def _untrue(world: World) -> list[str]:
    vms = {vm["id"]: vm for vm in await world.vms()}
    expected = {uid: vm for site in world.sites for uid, vm in site.expected_vms().items()}
    wrong = [uid for uid in expected.keys() | vms.keys() if differing(expected.get(uid), vms.get(uid))]
    phases = {migration["id"]: migration["phase"] for migration in await world.migrations()}
    wrong += [uid for site in world.sites for uid, phase in site.migrations().items() if phases.get(uid) != phase]
    return [f"the API shows {len(wrong)} objects otherwise than they are, for example {wrong[0]}"] if wrong else []


def _figures(world: World, witness: Witness, follower: Follower, seen: Evidence, done: Counter[str]) -> list[str]:
    requests = [request for site in world.sites for request in site.cluster.requests]
    lists = sum(request.verb == "list" or "sendInitialEvents" in request.query for request in requests)
    living = sum(len(vms) for vms in seen.expected.values())
    ignored = seen.vms.ignored + seen.migrations.ignored
    compared = f"{living} living and {len(seen.vms.ended)} ended VMs, {len(seen.listed_migrations)} migrations"
    return [
        f"{done.total()} acts of chaos:",
        *acts_table(done),
        f"{len(seen.messages)} events, {ignored} of no valid epoch; {lists} lists in {len(requests)} requests",
        f"compared: {compared}, {len(seen.history)} revisions of history",
        f"{witness.looks} looks at the API, {witness.failures} without answer",
        f"{follower.connections} connections to the feed, {len(follower.resets)} resets {sorted(set(follower.resets))}",
    ]


def _sizes(world: World, before: Mapping[str, Size], after: Mapping[str, Size]) -> list[str]:
    return sizes_table(before, after, {name: part.starts for name, part in world.parts.items()})


@asynccontextmanager
async def _background(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(work)
        yield
        task.cancel()
