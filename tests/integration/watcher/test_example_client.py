"""docs/examples/present_state.py, the client that docs/events.md recommends, against real servers."""

import asyncio
import importlib.util
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from support.paths import ROOT
from support.projecting import publish, publisher
from support.published import DATACENTER, cluster_event, unmanaged_event, vm_event
from support.roles import as_role
from support.waiting import until
from support.watched import configure, observing, watching

from summit_models.cluster import ConnectionState
from summit_models.event import VmEventType
from summit_runtime.nats.rights import Role
from summit_runtime.waiting import end
from summit_simulator.cluster import SimulatedCluster
from summit_standalone.embedded.child import Child
from summit_standalone.embedded.nats import embedded_nats

EXAMPLE = ROOT / "docs" / "examples" / "present_state.py"
VMS = "virtualmachines"


@pytest.fixture
async def cluster() -> AsyncIterator[SimulatedCluster]:
    async with SimulatedCluster("vulcan", bookmark_seconds=0.3) as simulated:
        for name in ("web", "db", "gone"):
            simulated.create_vm(name, namespace="prod")
        await simulated.settle()
        yield simulated


def named(name: str) -> dict[str, Any]:
    return {"metadata": {"namespace": "prod", "name": name}}


@asynccontextmanager
async def program(url: str) -> AsyncIterator[list[str]]:
    """The example as a person starts it, and the lines that it prints."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-u", str(EXAMPLE), as_role(url, Role.FEED), DATACENTER), stdout=asyncio.subprocess.PIPE
    )
    lines: list[str] = []
    reading = asyncio.create_task(_read(child, lines))
    try:
        yield lines
    finally:
        with suppress(ProcessLookupError):
            child.kill()
        await child.wait()
        await reading


async def _read(child: asyncio.subprocess.Process, lines: list[str]) -> None:
    assert child.stdout
    while line := await child.stdout.readline():
        lines.append(line.decode().rstrip())


async def shown(lines: list[str], *names: str) -> None:
    await until(lambda: lines[-1:], lambda last: last == [f"{len(names)} VMs: {sorted(names)}"], shown=lambda: lines)


async def test_reader_of_the_present_state_shows_no_vm_that_is_gone(cluster: SimulatedCluster, tmp_path: Path) -> None:
    """Not one that was deleted before it began, nor while its connection was broken by a killed server."""
    config = configure(tmp_path, {cluster.name: cluster.write_kubeconfig(tmp_path / "vulcan.yaml")})
    servers: list[Child] = []
    async with (
        embedded_nats(tmp_path / "nats", report=servers.append) as url,
        observing(url) as (log, _),
        watching(url, config),
    ):
        await log.agrees(cluster)
        cluster.delete(VMS, named("gone"))
        await cluster.settle()
        await log.agrees(cluster)
        async with program(url) as lines:
            await shown(lines, "web", "db")
            cluster.create_vm("new", namespace="prod")
            await shown(lines, "web", "db", "new")
            servers[-1].kill()
            cluster.delete(VMS, named("db"))
            await cluster.settle()
            await shown(lines, "web", "new")
            assert not [line for line in lines if "gone" in line]


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("present_state", EXAMPLE)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@asynccontextmanager
async def following(example: ModuleType, url: str) -> AsyncIterator[list[dict[str, str]]]:
    """What the example shows from one time to the next: names and statuses."""
    states: list[dict[str, str]] = []
    task = asyncio.create_task(
        example.follow(
            as_role(url, Role.FEED), DATACENTER, lambda vms: states.append({vm["name"]: vm["status"] for vm in vms})
        )
    )
    try:
        yield states
    finally:
        await end(task)


async def test_reader_of_the_present_state_ignores_stale_epochs(example: ModuleType, nats_url: str) -> None:
    """While it reads on, and when it begins after the stale event: that is the last one of its subject then."""
    good = {"a": "running", "b": "running", "by-hand": "running"}
    async with publisher(nats_url) as client, following(example, nats_url) as from_the_start:
        first, second = (
            cluster_event(state=ConnectionState.STARTING, epoch=1),
            cluster_event(state=ConnectionState.STARTING, epoch=2, epoch_starts=[]),
        )
        await publish(client, first, vm_event("a", epoch=1), vm_event("b", epoch=1), unmanaged_event("by-hand"))
        await until(lambda: from_the_start[-1:], lambda last: last == [good])
        late = vm_event("a", epoch=1, versions=(9, 9), status="error")
        deleted = vm_event("b", VmEventType.DELETED, epoch=1, versions=(9, 9))
        await publish(client, second, late, deleted, vm_event("end", epoch=2))
        await until(lambda: from_the_start[-1:], lambda last: last == [good | {"end": "running"}])
        async with following(example, nats_url) as from_the_end:
            await until(lambda: from_the_end[-1:], lambda last: last == [{"by-hand": "running", "end": "running"}])
            await publish(client, vm_event("a", VmEventType.OBSERVED, epoch=2), vm_event("b", epoch=2, versions=(2, 0)))
            await until(lambda: from_the_end[-1:], lambda last: last == [good | {"end": "running"}])


async def test_reader_of_the_present_state_begins_without_any_vm(example: ModuleType, nats_url: str) -> None:
    """An empty log is a state as well; so is one whose stream does not exist yet, when it does."""
    async with following(example, nats_url) as states, publisher(nats_url) as client:
        await until(lambda: states, lambda shown: shown == [{}])
        await publish(client, vm_event("a"))
        await until(lambda: states[-1:], lambda last: last == [{"a": "running"}])


async def test_revision_of_a_consumers_message_is_in_no_header(nats_url: str) -> None:
    """A plain subscriber finds it in `Nats-Sequence`; a JetStream consumer has it in the metadata of the message."""
    async with publisher(nats_url) as client:
        plain = await client.subscribe("summit.vms.>")
        await publish(client, vm_event("a"), vm_event("a", versions=(2, 0)))
        received = [await plain.next_msg(timeout=10) for _ in range(2)]
        assert [(m.headers or {})["Nats-Sequence"] for m in received] == ["1", "2"]
        assert [(m.headers or {})["Nats-Last-Sequence"] for m in received] == ["0", "1"]
        config = ConsumerConfig(deliver_policy=DeliverPolicy.LAST_PER_SUBJECT, ack_policy=AckPolicy.NONE)
        consuming = await client.jetstream().subscribe("summit.vms.>", stream="SUMMIT", config=config)
        last = await consuming.next_msg(timeout=10)
        assert "Nats-Sequence" not in (last.headers or {})
        assert last.metadata.sequence.stream == 2
