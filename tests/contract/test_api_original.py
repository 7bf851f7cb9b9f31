"""Clients of the original API rely on its member names, and on which members are left out when empty.

The expected answers are the original's, recorded from its own binary, with our ids (uids instead of names) and with
the members that our answers add named in ADDED.
"""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from support.api_stack import NOW, Stack, api_stack, health, placed_vm
from support.builders import uid_of
from support.published import CLUSTER, DATACENTER, datacenter_event, migration_event

from summit_models.vm import VmStatus

HOUR = timedelta(hours=1)

ADDED = {
    "datacenters": {"revision", "asOf"},
    "status": {"byStatus", "clustersByState", "stale", "revision", "asOf"},
    "migration": {"name"},
}


@pytest.fixture
async def stack(database_url: str) -> AsyncIterator[Stack]:
    """The original's sample: one running VM in Solna, one stopped in Uppsala, with heartbeats of both clusters."""
    async with api_stack(database_url) as stack:
        await stack.apply(
            datacenter_event(location="Solna, Sweden", coordinates=(59.36, 18.0), clusters=[CLUSTER]),
            datacenter_event(id="dc-uppsala", name="Uppsala"),
            placed_vm(
                "vm-001",
                cpu=2,
                memory=4096,
                disk=40,
                phase="Running",
                ip="10.128.0.7",
                node_name="worker-1",
                ready=True,
                created_at=NOW - timedelta(days=5, hours=3),
            ),
            placed_vm("vm-002", cluster="romulus", datacenter="dc-uppsala", status=VmStatus.STOPPED, ready=False),
        )
        stack.report(health(CLUSTER))
        stack.report(health("romulus"))
        yield stack


def without(answer: dict[str, Any], added: str) -> dict[str, Any]:
    assert answer.keys() >= ADDED[added]
    return {name: value for name, value in answer.items() if name not in ADDED[added]}


async def test_datacenters(stack: Stack) -> None:
    """Datacenters come by id with their VMs; unknown sizes are null, other empty members of a VM are left out."""
    assert without(await stack.get("/api/v1/datacenters"), "datacenters") == {
        "datacenters": [
            {
                "id": "dc-solna",
                "name": "Solna",
                "location": "Solna, Sweden",
                "coordinates": [59.36, 18.0],
                "clusters": [CLUSTER],
                "vms": [
                    {
                        "id": uid_of(CLUSTER, "prod", "vm-001"),
                        "name": "vm-001",
                        "status": "running",
                        "cpu": 2,
                        "memory": 4096,
                        "disk": 40,
                        "cluster": CLUSTER,
                        "namespace": "prod",
                        "phase": "Running",
                        "ip": "10.128.0.7",
                        "nodeName": "worker-1",
                        "ready": True,
                        "age": "5d3h",
                    }
                ],
            },
            {
                "id": "dc-uppsala",
                "name": "Uppsala",
                "location": "",
                "coordinates": None,
                "vms": [
                    {
                        "id": uid_of("romulus", "prod", "vm-002"),
                        "name": "vm-002",
                        "status": "stopped",
                        "cpu": None,
                        "memory": None,
                        "disk": None,
                        "cluster": "romulus",
                        "namespace": "prod",
                    }
                ],
            },
        ]
    }


async def test_vm_of_an_undeclared_datacenter(stack: Stack) -> None:
    """A VM is shown even if nobody declared its datacenter: no VM is ever lost."""
    await stack.apply(placed_vm("vm-003", datacenter="dc-new", cluster="new"))
    answer = await stack.get("/api/v1/datacenters")
    assert [(dc["id"], len(dc["vms"])) for dc in answer["datacenters"]] == [
        ("dc-new", 1),
        ("dc-solna", 1),
        ("dc-uppsala", 1),
    ]


async def test_status(stack: Stack) -> None:
    """Each VM that does not run counts as stopped."""
    await stack.apply(placed_vm("vm-003", status=VmStatus.PAUSED))
    assert without(await stack.get("/api/v1/status"), "status") == {
        "datacenters": 2,
        "running_vms": 1,
        "stopped_vms": 2,
        "total_vms": 3,
    }


async def test_migration_of_which_little_is_known(stack: Stack) -> None:
    """Strings are empty and times null until they are known; what the original may leave out is left out."""
    await stack.apply(migration_event("migrate-1", vm_name="vm-001", created_at=NOW))
    (answer,) = await stack.get("/api/v1/migrations")
    assert without(answer, "migration") == {
        "id": uid_of("prod", "migrate-1", "migration"),
        "vmId": "",
        "vmName": "vm-001",
        "namespace": "prod",
        "cluster": CLUSTER,
        "datacenterId": DATACENTER,
        "phase": "",
        "direction": "unknown",
        "sourceCluster": "",
        "targetCluster": "",
        "sourceNode": "",
        "targetNode": "",
        "sourcePod": "",
        "targetPod": "",
        "startTime": None,
        "endTime": None,
        "phaseTransitions": [],
        "createdAt": "2026-11-23T12:00:30Z",
        "updatedAt": "2026-11-23T07:00:00Z",
        "completed": False,
    }


async def test_cors(stack: Stack) -> None:
    """A page from anywhere may read, and may ask with PATCH, which the original forgot."""
    asked = {"Origin": "http://map.example.com", "Access-Control-Request-Method": "PATCH"}
    preflight = await stack.http.options("/api/v1/datacenters", headers=asked)
    assert preflight.status_code == 200
    assert "PATCH" in preflight.headers["Access-Control-Allow-Methods"]
    answer = await stack.http.get("/api/v1/datacenters", headers=asked)
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
