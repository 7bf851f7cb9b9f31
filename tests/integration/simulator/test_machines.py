"""VMs of a simulated cluster start, stop, pause and migrate as in KubeVirt."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.paths import SAMPLES
from support.simulator_client import Client, client_of

from summit_simulator import SimulatedCluster

NASTY = SAMPLES / "nasty-watch-events.ndjson"
MIGRATIONS = "/apis/kubevirt.io/v1/namespaces/prod/virtualmachineinstancemigrations"


@pytest.fixture
async def cluster() -> AsyncIterator[SimulatedCluster]:
    """An empty cluster."""
    async with SimulatedCluster("vulcan", tls=False) as cluster:
        yield cluster


def _status(cluster: SimulatedCluster, vm: dict[str, Any]) -> Any:
    return ((cluster.vm(vm) or {}).get("status") or {}).get("printableStatus")


async def test_a_start_goes_through_every_phase(cluster: SimulatedCluster) -> None:
    """A VMI comes with its own uid, owned by the VM, on its way to Running with agent and addresses."""
    vm = cluster.create_vm("web", namespace="prod", cores=2, memory="4Gi")
    cluster.request("start", vm)
    assert _status(cluster, vm) == "Provisioning"
    cluster.clock.advance(20)
    assert _status(cluster, vm) == "Starting"
    phases = []
    for seconds in (0, 1, 12, 3):
        cluster.clock.advance(seconds)
        phases.append((cluster.vmi(vm) or {})["status"]["phase"])
    assert phases == ["Pending", "Scheduling", "Scheduled", "Running"]
    await cluster.settle()
    vmi = cluster.vmi(vm) or {}
    owner = vmi["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("VirtualMachine", vm["metadata"]["uid"], True)
    assert vmi["metadata"]["uid"] != vm["metadata"]["uid"]
    assert vmi["status"]["currentCPUTopology"] == {"cores": 2, "sockets": 1, "threads": 1}
    assert vmi["status"]["memory"]["guestCurrent"] == "4Gi"
    assert vmi["status"]["guestOSInfo"]["id"] == "fedora"
    assert vmi["metadata"]["labels"]["kubevirt.io/nodeName"] == vmi["status"]["nodeName"]
    assert vmi["status"]["interfaces"][0]["ipAddress"].startswith("10.1")
    root = next(volume for volume in vmi["status"]["volumeStatus"] if volume["name"] == "rootdisk")
    assert root["persistentVolumeClaimInfo"]["capacity"] == {"storage": "20Gi"}
    status = (cluster.vm(vm) or {})["status"]
    assert (status["printableStatus"], status["ready"], status["created"]) == ("Running", True, True)


async def test_a_stop_removes_the_instance(cluster: SimulatedCluster) -> None:
    """Stopping, then no VMI; the VM keeps stale conditions, and only Ready shows it."""
    vm = cluster.create_vm("web", namespace="prod")
    await cluster.start(vm)
    cluster.request("stop", vm)
    assert _status(cluster, vm) == "Stopping"
    await cluster.settle()
    assert cluster.vmi(vm) is None
    status = (cluster.vm(vm) or {})["status"]
    found = {condition["type"]: condition for condition in status["conditions"]}
    assert status["printableStatus"] == "Stopped"
    assert found["Ready"]["reason"] == "VMINotExists"
    assert found["AgentConnected"]["status"] == "True"
    assert not status.keys() & {"created", "ready"}


async def test_each_start_has_a_new_instance(cluster: SimulatedCluster) -> None:
    """A restart changes the VMI's uid and leaves the VM's."""
    vm = cluster.create_vm("web", namespace="prod")
    await cluster.start(vm)
    before = (cluster.vmi(vm) or {})["metadata"]["uid"]
    await cluster.restart(vm)
    after = cluster.vmi(vm) or {}
    assert after["status"]["phase"] == "Running"
    assert after["metadata"]["uid"] != before


def _ready(cluster: SimulatedCluster, vm: dict[str, Any]) -> str:
    found = (cluster.vm(vm) or {})["status"]["conditions"]
    return next(str(condition["status"]) for condition in found if condition["type"] == "Ready")


async def test_pause_is_a_condition(cluster: SimulatedCluster) -> None:
    """Paused is present and then absent again, on the VM as well; a paused VM is not Ready."""
    vm = cluster.create_vm("web", namespace="prod")
    await cluster.start(vm)
    cluster.request("pause", vm)
    assert _status(cluster, vm) == "Paused"
    assert _ready(cluster, vm) == "False"
    cluster.request("unpause", vm)
    assert _ready(cluster, vm) == "True"
    kinds = {condition["type"] for condition in (cluster.vm(vm) or {})["status"]["conditions"]}
    assert (_status(cluster, vm), "Paused" in kinds) == ("Running", False)


async def test_manual_machines_start_and_stop_on_request(cluster: SimulatedCluster) -> None:
    """The run strategy stays Manual, requests are taken from status.stateChangeRequests."""
    vm = cluster.create_vm("web", namespace="prod", run_strategy="Manual")
    await cluster.start(vm)
    assert _status(cluster, vm) == "Running"
    await cluster.stop(vm)
    found = cluster.vm(vm) or {}
    assert (found["status"]["printableStatus"], found["spec"]["runStrategy"]) == ("Stopped", "Manual")
    assert "stateChangeRequests" not in found["status"]


async def test_a_migration_takes_its_course(client: Client, cluster: SimulatedCluster) -> None:
    """Phases in order; nodes are on the VMI under the migration's uid; the VMI moves and keeps its uid."""
    vm = cluster.create_vm("web", namespace="prod")
    await cluster.start(vm)
    before = cluster.vmi(vm) or {}
    created = await client.request("POST", MIGRATIONS, {"metadata": {"name": "m"}, "spec": {"vmiName": "web"}})
    assert created.code == 201
    cluster.clock.advance(15)
    moving = cluster.vmi(vm) or {}
    state = moving["status"]["migrationState"]
    assert _status(cluster, vm) == "Migrating"
    assert state["migrationUid"] == created.json()["metadata"]["uid"]
    assert state["sourceNode"] == moving["status"]["nodeName"] != state["targetNode"]
    flying = (await client.get(f"{MIGRATIONS}/m")).json()
    assert flying["status"]["migrationState"].keys() == {"sourcePod"}
    await cluster.settle()
    after = cluster.vmi(vm) or {}
    final = (await client.get(f"{MIGRATIONS}/m")).json()["status"]
    assert [entry["phase"] for entry in final["phaseTransitionTimestamps"]] == [
        *("Pending", "Scheduling", "Scheduled", "PreparingTarget", "TargetReady", "Running", "Succeeded")
    ]
    assert final["migrationState"]["completed"]
    assert after["status"]["nodeName"] == state["targetNode"] != before["status"]["nodeName"]
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert _status(cluster, vm) == "Running"


async def test_a_failed_migration_leaves_the_instance_where_it_is(cluster: SimulatedCluster) -> None:
    """Completed is true and failed as well."""
    vm = cluster.create_vm("web", namespace="prod")
    await cluster.start(vm)
    node = (cluster.vmi(vm) or {})["status"]["nodeName"]
    cluster.faults.disturb_migrations(failure="Connection reset by peer")
    final = (await cluster.migrate(vm))["status"]
    assert (final["phase"], final["migrationState"]["failureReason"]) == ("Failed", "Connection reset by peer")
    assert final["migrationState"]["completed"]
    assert (cluster.vmi(vm) or {})["status"]["nodeName"] == node


async def test_a_deleted_migration_is_aborted(client: Client, cluster: SimulatedCluster) -> None:
    """DELETE in flight keeps it by its finalizer until it has failed."""
    vm = cluster.create_vm("web", namespace="prod")
    await cluster.start(vm)
    migration = cluster.request_migration(vm)
    path = f"{MIGRATIONS}/{migration['metadata']['name']}"
    cluster.clock.advance(20)
    assert (await client.request("DELETE", path)).json()["metadata"]["deletionTimestamp"]
    await cluster.settle()
    assert (await client.get(path)).code == 404
    assert (cluster.vmi(vm) or {})["status"]["migrationState"]["abortStatus"] == "Succeeded"
    assert _status(cluster, vm) == "Running"


async def test_the_webhook_denies_impossible_migrations(client: Client, cluster: SimulatedCluster) -> None:
    """There is no VMI, or a migration is under way."""
    cluster.objects.ensure_namespace("prod")
    body = {"metadata": {"generateName": "m-"}, "spec": {"vmiName": "web"}}
    missing = await client.request("POST", MIGRATIONS, body)
    assert missing.code == 400
    assert missing.json()["message"] == (
        'admission webhook "migration-create-validator.kubevirt.io" denied the request: '
        'the VMI "prod/web" does not exist'
    )
    vm = cluster.create_vm("web", namespace="prod")
    await cluster.start(vm)
    cluster.request("migrate", vm)
    again = await client.request("POST", MIGRATIONS, body)
    assert (again.code, "in-flight migration detected" in again.json()["message"]) == (400, True)


async def test_old_migrations_are_forgotten(cluster: SimulatedCluster) -> None:
    """Five final ones are kept for each VMI, none without one."""
    vm = cluster.create_vm("web", namespace="prod")
    await cluster.start(vm)
    plural = "virtualmachineinstancemigrations"
    last = [(await cluster.migrate(vm))["metadata"]["uid"] for _ in range(7)]
    assert set(cluster.truth(plural)[plural]) == set(last[-5:])
    await cluster.stop(vm)
    assert not cluster.truth(plural)[plural]


async def test_five_migrations_run_at_a_time(cluster: SimulatedCluster) -> None:
    """The sixth stays Pending until there is room, and then takes its course."""
    vms = [cluster.create_vm(f"web-{number}", namespace="prod", run_strategy="Always") for number in range(6)]
    await cluster.settle()
    for vm in vms:
        cluster.request_migration(vm)
    cluster.clock.advance(10)
    plural = "virtualmachineinstancemigrations"
    phases = [migration["status"]["phase"] for migration in cluster.truth(plural)[plural].values()]
    assert phases.count("Pending") == 1
    await cluster.settle()
    assert {migration["status"]["phase"] for migration in cluster.truth(plural)[plural].values()} == {"Succeeded"}


async def test_a_crash_is_restarted_after_a_pause(cluster: SimulatedCluster) -> None:
    """Always: the failed VMI goes, the VM is in CrashLoopBackOff, then a new VMI runs."""
    vm = cluster.create_vm("web", namespace="prod")
    await cluster.start(vm)
    cluster.crash(vm)
    cluster.clock.advance(3)
    assert _status(cluster, vm) == "CrashLoopBackOff"
    await cluster.settle()
    assert _status(cluster, vm) == "Running"


async def test_a_deleted_instance_comes_back(cluster: SimulatedCluster) -> None:
    """Its VM should run."""
    vm = cluster.create_vm("web", namespace="prod")
    await cluster.start(vm)
    before = (cluster.vmi(vm) or {})["metadata"]["uid"]
    cluster.delete("virtualmachineinstances", vm)
    await cluster.settle()
    assert (cluster.vmi(vm) or {})["metadata"]["uid"] != before


async def test_a_deleted_machine_takes_its_instance_along(cluster: SimulatedCluster) -> None:
    """Terminating while the guest shuts down, then both are gone; the name returns with another uid."""
    vm = cluster.create_vm("web", namespace="prod")
    await cluster.start(vm)
    cluster.delete("virtualmachines", vm)
    assert _status(cluster, vm) == "Terminating"
    await cluster.settle()
    assert (cluster.vm(vm), cluster.vmi(vm)) == (None, None)
    assert cluster.create_vm("web", namespace="prod")["metadata"]["uid"] != vm["metadata"]["uid"]


async def test_a_missing_instancetype_is_a_failure(cluster: SimulatedCluster) -> None:
    """The VM is Stopped with the condition Failure, until it is edited."""
    vm = cluster.create_vm("web", namespace="prod", instancetype="u1.retired", run_strategy="Always")
    await cluster.settle()
    found = {condition["type"]: condition for condition in (cluster.vm(vm) or {})["status"]["conditions"]}
    assert (_status(cluster, vm), found["Failure"]["reason"]) == ("Stopped", "FailedFindInstancetype")
    cluster.patch("virtualmachines", vm, {"spec": {"instancetype": {"name": "u1.large"}}})
    await cluster.settle()
    assert _status(cluster, vm) == "Running"
    assert (cluster.vmi(vm) or {})["status"]["currentCPUTopology"]["sockets"] == 2


async def test_the_disks_of_a_new_vm_are_imported(cluster: SimulatedCluster) -> None:
    """Each template has a DataVolume with the progress as CDI writes it; it goes with the VM that owns it."""
    vm = cluster.create_vm("web", namespace="prod", run_strategy="Always", disks=("20Gi", "5Gi"))
    cluster.clock.advance(7)
    root, blank = (cluster.get("datavolumes", name, "prod") or {} for name in ("web-root", "web-disk-1"))
    assert root["metadata"]["ownerReferences"][0]["uid"] == vm["metadata"]["uid"]
    assert (root["status"]["phase"], root["status"]["progress"]) == ("ImportInProgress", "35.00%")
    assert (blank["status"]["phase"], blank["status"]["progress"]) == ("Succeeded", "100.0%")
    assert _status(cluster, vm) == "Provisioning"
    await cluster.settle()
    assert (cluster.get("datavolumes", "web-root", "prod") or {})["status"]["phase"] == "Succeeded"
    assert _status(cluster, vm) == "Running"
    cluster.delete("virtualmachines", vm)
    await cluster.settle()
    assert cluster.truth("datavolumes") == {"datavolumes": {}}


async def test_no_shape_of_object_stops_the_controllers(cluster: SimulatedCluster) -> None:
    """Old, odd and half-empty objects are served as they are and lived with."""
    known: set[str] = set()
    for line in NASTY.read_text(encoding="utf-8").splitlines():
        obj = json.loads(line)["object"]
        name = obj.get("metadata", {}).get("name")
        if name and name not in known:
            known.add(name)
            created = cluster.create(f"{obj['kind'].lower()}s", obj)
            assert created.get("status") == obj.get("status")
            cluster.controllers.machines.queue.add((obj["metadata"].get("namespace", ""), name))
    await cluster.settle()
    assert len(known) > 10


async def test_an_accelerated_cluster_moves_by_itself(client: Client) -> None:
    """With a speed nobody needs to move the clock."""
    async with SimulatedCluster("fast", tls=False, speed=2000) as cluster, client_of(cluster) as fast:
        cluster.create_vm("web", namespace="prod", run_strategy="Always")
        path = "/apis/kubevirt.io/v1/virtualmachines"
        async with fast.watch(path) as watch:
            while (await watch.event())[1]["status"].get("printableStatus") != "Running":
                pass
