"""The original's map (frontend/app.js) against our API: what it asks for, and what it does with the answers."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from support.api_stack import NOW, Stack, api_stack, placed_vm
from support.published import CLUSTER, datacenter_event, migration_event, unmanaged_event

from summit_models.migration import MigrationDirection, PhaseTransition
from summit_models.vm import VmStatus

ACTIVE = {"Running", "Pending", "Scheduling", "Scheduled", "PreparingTarget", "TargetReady"}
"""Phases that it draws a moving line for."""


@pytest.fixture
async def stack(database_url: str) -> AsyncIterator[Stack]:
    """Two datacenters; a VM that migrates, one that is stopped, one added by hand; a migration each way."""
    async with api_stack(database_url) as stack:
        await stack.apply(
            datacenter_event(location="Solna, Sweden", coordinates=(59.36, 18.0), clusters=[CLUSTER]),
            datacenter_event(id="dc-uppsala", name="Uppsala", coordinates=(59.86, 17.64)),
            placed_vm(
                "web",
                status=VmStatus.MIGRATING,
                ready=True,
                phase="Running",
                migration_status="migrating",
                migration_source="worker-1",
                migration_target="worker-2",
            ),
            placed_vm("db", datacenter="dc-uppsala", cluster="romulus", status=VmStatus.STOPPED, ready=False),
            unmanaged_event("vm-001"),
            migration_event(
                "out", vm_name="web", phase="Running", direction=MigrationDirection.OUTGOING, created_at=NOW
            ),
            migration_event("new", vm_name="db"),
            migration_event(
                "in",
                vm_name="web",
                phase="Succeeded",
                completed=True,
                start_time=NOW - timedelta(minutes=2),
                end_time=NOW,
                phase_transitions=[PhaseTransition(phase="Pending", timestamp=NOW)],
            ),
        )
        yield stack


async def refetch(stack: Stack) -> tuple[Any, list[Any]]:
    """The map's requests at start and at each message of the feed."""
    datacenters = (await stack.get("/api/v1/datacenters"))["datacenters"]
    migrations = [await stack.get("/api/v1/migrations") for _ in range(3)]
    assert migrations[0] == migrations[1] == migrations[2]
    return datacenters, migrations[0]


@pytest.mark.parametrize(
    ("status", "printable", "phase", "shown"),
    [
        (VmStatus.RUNNING, "Running", "Running", "Running"),
        (VmStatus.MIGRATING, "Migrating", "Running", "Running"),
        (VmStatus.WAITING_FOR_RECEIVER, "WaitingForReceiver", "WaitingForSync", "WaitingForSync"),
        (VmStatus.PAUSED, "Paused", "Running", "Paused"),
        (VmStatus.STOPPING, "Stopping", "Running", "Stopping"),
        (VmStatus.ERROR, "ErrorUnschedulable", "Scheduling", "ErrorUnschedulable"),
        (VmStatus.ERROR, "ImagePullBackOff", "Scheduling", "ImagePullBackOff"),
        (VmStatus.PAUSED, None, "Running", "Paused"),
        (VmStatus.STARTING, None, "Scheduling", "Scheduling"),
    ],
)
async def test_phase_is_the_printable_status_unless_the_vm_runs(
    stack: Stack, status: VmStatus, printable: str | None, phase: str, shown: str
) -> None:
    """A paused VM was green on the map and counted as running there, and one without an image was scheduling."""
    await stack.apply(placed_vm("vm", status=status, printable_status=printable, phase=phase))
    datacenters, _ = await refetch(stack)
    (vm,) = [vm for datacenter in datacenters for vm in datacenter["vms"] if vm["name"] == "vm"]
    assert (vm["phase"], vm["status"]) == (shown, status)


async def test_cards_and_status_count_the_same_running_vms(stack: Stack) -> None:
    """The map counts phases, /status counts statuses; a VM that migrates is counted as migrating by both."""
    for status in set(VmStatus) - {VmStatus.WAITING_FOR_RECEIVER}:  # its instance does not run
        await stack.apply(placed_vm(f"vm-{status}", status=status, printable_status=status.title(), phase="Running"))
    datacenters, _ = await refetch(stack)
    vms = [vm for datacenter in datacenters for vm in datacenter["vms"]]
    running = sum(vm.get("phase", vm["status"]).lower() == "running" and vm["status"] != "migrating" for vm in vms)
    assert running == (await stack.get("/api/v1/status"))["running_vms"]


async def test_datacenters_can_be_placed_and_their_vms_told_apart(stack: Stack) -> None:
    """It sets a marker from both coordinates, sorts by lower-cased texts, and knows VMs by their ids over all."""
    datacenters, _ = await refetch(stack)
    vms = [vm for datacenter in datacenters for vm in datacenter["vms"]]
    assert [len(datacenter["coordinates"]) for datacenter in datacenters] == [2, 2]
    assert len({vm["id"] for vm in vms}) == len(vms) == 3
    for vm in vms:
        assert isinstance(vm["name"], str)
        assert isinstance(vm["status"], str)
        assert vm["status"] == vm["status"].lower()
    (web,) = [vm for vm in vms if vm["name"] == "web"]
    assert (web["migrationStatus"], web["ready"]) == ("migrating", True)
    assert (web["migrationSource"], web["migrationTarget"]) == ("worker-1", "worker-2")


async def test_migrations_can_be_listed_and_drawn(stack: Stack) -> None:
    """It lower-cases each phase, reads each time as a date, and compares what is unknown with the empty string."""
    _, migrations = await refetch(stack)
    for migration in migrations:
        for text in ("id", "vmId", "vmName", "phase", "direction", "sourceCluster", "targetCluster", "sourceNode"):
            assert isinstance(migration[text], str), text
        assert datetime.fromisoformat(migration["createdAt"])
        assert isinstance(migration["completed"], bool)
        for transition in migration["phaseTransitions"]:
            assert datetime.fromisoformat(transition["timestamp"])
    assert [m["name"] for m in migrations if m["phase"] in ACTIVE and not m["completed"]] == ["out"]
    assert [m["name"] for m in migrations if m["phase"] == "Succeeded" and m["completed"]] == ["in"]
