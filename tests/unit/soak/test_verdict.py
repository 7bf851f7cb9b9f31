"""The verdict of a soak finds each mistake: one thing is spoilt at a time, and its claim reports it."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from soak.evidence import Evidence
from soak.part import Part, Size
from soak.verdict import GROWTH_FILES, growth, judge
from soak.world import ConfigFile, Site, World
from support.oracle import replay
from support.published import CLUSTER, DATACENTER, OBSERVED_AT, cluster_event, messages, migration_event, vm_event

from summit_models.event import MigrationEventType, VmEventType
from summit_projector.project import project
from summit_projector.projections import PROJECTIONS
from summit_simulator.cluster import SimulatedCluster
from summit_standalone.embedded.child import Program

CREATED, DELETED = VmEventType.CREATED, VmEventType.DELETED
STORY = (
    cluster_event(),
    vm_event("a", CREATED),
    vm_event("b", CREATED),
    vm_event("b", DELETED, versions=(2, 0)),
    migration_event("m", MigrationEventType.CREATED, vm_name="a"),
)
A = vm_event("a").data.id
MIGRATION = migration_event("m").data.id

LOG = "the log ends with the truth of every cluster"
TABLES = "the tables are what the log projects to"
HISTORY = "the journal is the log, each event once"
API = "the API shows what the tables have"


@pytest.fixture
def world() -> World:
    config = ConfigFile(Path("datacenters.yaml"))
    config.sites.append(Site(SimulatedCluster(CLUSTER), DATACENTER, config))
    probes = dict.fromkeys(("watcher", "projector", "api"), "http://127.0.0.1/readyz")
    return World(config, "nats://", "postgresql://", httpx2.AsyncClient(), parts={}, probes=probes)


@pytest.fixture
def seen() -> Evidence:
    """All is well: one VM lives, another has ended, one migration is under way."""
    log = messages(*STORY)
    replays = {collection: replay(log, collection) for collection in ("vms", "migrations")}
    batch = project(log)
    tables: dict[str, dict[str, dict[str, Any]]] = {p.table.name: {} for p in PROJECTIONS.values()}
    for name, rows in batch.rows.items():
        columns = PROJECTIONS[name].columns
        tables[name] = {row[0]: dict(zip(columns, row, strict=True)) for row in rows}
    vm = {"id": A, "revision": 2, "status": "running", "nodeName": None}
    phase = STORY[-1].data.phase
    return Evidence(
        truths={
            CLUSTER: {
                "virtualmachines": {A: {"metadata": {"resourceVersion": "1"}}},
                "virtualmachineinstancemigrations": {MIGRATION: {"metadata": {}, "status": {"phase": phase}}},
            }
        },
        expected={CLUSTER: {A: dict(replays["vms"].living[A].state)}},
        messages=log,
        **replays,
        tables=tables,
        history=batch.journal,
        dead_letters=[],
        checkpoint=len(STORY),
        listed=[vm],
        datacenters={"datacenters": [{"vms": [vm]}]},
        status={"total_vms": 1, "byStatus": {"running": 1, "stopped": 0}},
        listed_migrations=[{"id": MIGRATION, "phase": phase}],
        listed_operations=[],
    )


def test_a_consistent_world_has_no_findings(seen: Evidence, world: World) -> None:
    """So the findings of the other tests come from what they spoil."""
    assert not any(judge(seen, world).values())


SPOILT: dict[str, tuple[str, Callable[[Any], object]]] = {
    "VM that the log does not have": (LOG, lambda seen: seen.expected[CLUSTER].update(c=seen.expected[CLUSTER][A])),
    "VM that is gone": (LOG, lambda seen: seen.expected[CLUSTER].clear()),
    "VM that is otherwise": (LOG, lambda seen: seen.expected[CLUSTER][A].update(cpu=99)),
    "migration in another phase": (
        LOG,
        lambda seen: seen.truths[CLUSTER]["virtualmachineinstancemigrations"][MIGRATION]["status"].update(phase="X"),
    ),
    "row lost": (TABLES, lambda seen: seen.tables["vms"].pop(A)),
    "tombstone lost": (TABLES, lambda seen: seen.tables["vms"].pop(vm_event("b").data.id)),
    "row otherwise": (TABLES, lambda seen: seen.tables["vms"][A].update(cpu=99)),
    "row of nothing": (TABLES, lambda seen: seen.tables["datacenters"].update(x={"id": "x"})),
    "checkpoint behind": (TABLES, lambda seen: setattr(seen, "checkpoint", 4)),
    "journal entry lost": (HISTORY, lambda seen: seen.history.pop()),
    "journal entry twice": (HISTORY, lambda seen: seen.history.append(seen.history[0])),
    "journal entry otherwise": (
        HISTORY,
        lambda seen: seen.history.append(seen.history.pop()._replace(time=OBSERVED_AT + timedelta(hours=1))),
    ),
    "VM not listed": (API, lambda seen: seen.listed.clear()),
    "VM on two pages": (API, lambda seen: seen.listed.append(seen.listed[0])),
    "VM listed otherwise": (API, lambda seen: seen.listed[0].update(status="stopped")),
    "VM in no datacenter": (API, lambda seen: seen.datacenters["datacenters"].clear()),
    "wrong count": (API, lambda seen: seen.status.update(total_vms=2)),
    "migration not listed": (API, lambda seen: seen.listed_migrations.clear()),
    "dead letter": (
        "no event became a dead letter",
        lambda seen: seen.dead_letters.append({"revision": 1, "subject": "summit.vms.x", "reason": "no JSON"}),
    ),
}


@pytest.mark.parametrize("what", SPOILT)
def test_what_is_spoilt_is_found_by_its_claim(seen: Evidence, world: World, what: str) -> None:
    """A check that cannot fail proves nothing."""
    claim, spoil = SPOILT[what]
    spoil(seen)
    assert judge(seen, world)[claim]


def test_a_repetition_is_no_news_of_the_feed(seen: Evidence) -> None:
    """The journal has it, and the feed does not send it."""
    repeated = project(messages(*STORY, vm_event("a", VmEventType.OBSERVED)))
    seen.history = repeated.journal
    seen.listed[0]["revision"] = 6
    assert seen.news() == [2, 3, 4]
    assert seen.shown()[A] == range(2, 7)


@pytest.mark.parametrize(
    ("after", "finding"),
    [
        (Size(1, 100_000_000, 20), ""),
        (Size(1, 300_000_000, 20), "api grew from 100.0 to 300.0 MB"),
        (Size(1, 100_000_000, 21 + GROWTH_FILES), "api has 33 open files, 20 before"),
        (Size(2, 100_000_000, 20), "api has not lived since the second half began"),
        (None, "api has not lived since the second half began"),
    ],
)
def test_growth_is_found(world: World, after: Size | None, finding: str) -> None:
    """Memory and open files are compared; a process that was restarted proves nothing."""
    world.probes = {"api": ""}
    found = growth({"api": Size(1, 100_000_000, 20)}, {"api": after} if after else {}, world)
    assert found == ([finding] if finding else [])


def test_failure_that_heals_is_found_in_the_log(tmp_path: Path) -> None:
    """It is found by its traceback, with the line before it; a failure that is logged in one line does not count."""
    log = tmp_path / "api.log"
    log.write_text("WARNING lost NATS\nERROR freshness failed\nTraceback (most recent call last):\n  File\n")
    assert list(Part(Program("api", ()), log).unforeseen()) == ["api: ERROR freshness failed"]
