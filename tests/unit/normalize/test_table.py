"""The rules of normalizing as a table: each row of tests/samples/normalize/*.yaml has input, expectation and reason.

A row's manifests are recorded objects (a file's name), parts of an object, or a file with parts replaced. They take the
way of a watch line: encoded, decoded by the resource, read into facts, joined.
"""

import json
from copy import deepcopy
from typing import Any

import pytest
import yaml
from support.paths import SAMPLES

from summit_models.contract import ClusterName, DatacenterId
from summit_models.migration import Migration
from summit_models.vm import Vm
from summit_watcher.kube.errors import StatusError
from summit_watcher.kube.resources import (
    CLUSTER_INSTANCETYPES,
    DATA_VOLUMES,
    MIGRATIONS,
    VIRTUAL_MACHINE_INSTANCES,
    VIRTUAL_MACHINES,
    WATCHED,
    Resource,
)
from summit_watcher.normalize.datavolume import data_volume_facts
from summit_watcher.normalize.instance import vmi_facts
from summit_watcher.normalize.instancetype import instancetype_facts
from summit_watcher.normalize.migration import join_migration, migration_facts
from summit_watcher.normalize.virtualmachine import vm_facts
from summit_watcher.normalize.vm import join_vm

CLUSTER, DATACENTER = ClusterName("vulcan"), DatacenterId("dc-solna")


def rows(*tables: str) -> list[Any]:
    return [
        pytest.param(row, id=f"{table}: {row['reason']}")
        for table in tables
        for row in yaml.safe_load((SAMPLES / "normalize" / f"{table}.yaml").read_text())
    ]


def merged(below: Any, above: Any) -> Any:
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    return below | {key: merged(below.get(key), value) for key, value in above.items()}


def manifest(part: Any, kind: str, owner: str | None = None) -> dict[str, Any]:
    """A whole object made from a row. The row's VM owns an instance unless the row has another owner."""
    if isinstance(part, str):
        part = {"file": part}
    part = deepcopy(part)
    if file := part.pop("file", None):
        return merged(json.loads((SAMPLES / file).read_text()), part)
    metadata: dict[str, Any] = {"uid": f"{kind}-uid", "name": "a", "namespace": "t", "resourceVersion": "100"}
    if owner:
        metadata["ownerReferences"] = [{"kind": "VirtualMachine", "uid": owner, "controller": True}]
    return merged({"kind": kind, "metadata": metadata}, part)


def decoded(resource: Resource[Any], document: dict[str, Any]) -> Any:
    line = json.dumps({"type": "MODIFIED", "object": document}).encode() + b"\n"
    return resource.decode_event(line).object


def normalized(row: dict[str, Any]) -> Vm:
    vm = vmi = instancetype = None
    if "vm" in row:
        base = {"spec": {"template": {"spec": {"domain": {}}}}} if isinstance(row["vm"], dict) else {}
        vm = vm_facts(decoded(VIRTUAL_MACHINES, merged(base, manifest(row["vm"], "VirtualMachine"))))
    if "vmi" in row:
        part = manifest(row["vmi"], "VirtualMachineInstance", vm.uid if vm else None)
        vmi = vmi_facts(decoded(VIRTUAL_MACHINE_INSTANCES, merged({"spec": {"domain": {}}}, part)))
        assert vmi.owner_uid == (vm.uid if vm else None)
    if "instancetype" in row:
        instancetype = instancetype_facts(decoded(CLUSTER_INSTANCETYPES, manifest(row["instancetype"], "Instancetype")))
    volumes = [
        data_volume_facts(decoded(DATA_VOLUMES, manifest(part, "DataVolume"))) for part in row.get("dataVolumes", ())
    ]
    return join_vm(vm, vmi, instancetype, volumes, cluster=CLUSTER, datacenter=DATACENTER)


def normalized_migration(row: dict[str, Any]) -> Migration:
    migration = migration_facts(decoded(MIGRATIONS, manifest(row["migration"], "Migration")))
    vmi = vmi_facts(decoded(VIRTUAL_MACHINE_INSTANCES, manifest(row["vmi"], "Instance"))) if "vmi" in row else None
    owner = vmi.owner_uid if vmi else None
    return join_migration(migration, vmi, owner, cluster=CLUSTER, datacenter=DATACENTER)


def picked(model: Vm | Migration, expected: dict[str, Any]) -> dict[str, Any]:
    state = model.model_dump(mode="json")
    return {name: state[{"lastMigratedAt": "_lastMigratedAt"}.get(name, name)] for name in expected}


VM_ROWS = rows("samples", "cpu", "instancetype", "memory", "disks", "network", "status", "identity", "provisioning")
PLACE = {"cluster", "datacenter", "managed"}
"""What no manifest says."""


def test_each_field_of_a_vm_is_expected_by_a_row() -> None:
    """This finds a field that is declared and never filled: it would be null without any complaint."""
    filled = {name for param in VM_ROWS for name, value in param.values[0]["expect"].items() if value not in (None, [])}
    fields = {(field.alias or name).removeprefix("_") for name, field in Vm.model_fields.items()}
    assert fields - PLACE - filled == set()


@pytest.mark.parametrize("row", VM_ROWS)
def test_vm_is_normalized_by_the_table(row: dict[str, Any]) -> None:
    """Each rule gives the VM that its row expects."""
    assert picked(normalized(row), row["expect"]) == row["expect"]


@pytest.mark.parametrize("row", rows("migrations"))
def test_migration_is_normalized_by_the_table(row: dict[str, Any]) -> None:
    """Each rule gives the migration that its row expects."""
    assert picked(normalized_migration(row), row["expect"]) == row["expect"]


NASTY = yaml.safe_load((SAMPLES / "normalize" / "nasty.yaml").read_text())


@pytest.mark.parametrize("line", (SAMPLES / "nasty-watch-events.ndjson").read_bytes().splitlines(keepends=True))
def test_nasty_watch_line_is_read_as_far_as_possible(line: bytes) -> None:
    """No recorded nasty line is lost, stops the others, or gets a made-up value."""
    event = json.loads(line)
    expected, kind = NASTY[event["_note"].split()[0]], event["object"]["kind"]
    resource: Any = {resource.kind: resource for resource in WATCHED}.get(kind, VIRTUAL_MACHINES)
    if event["type"] == "ERROR":
        with pytest.raises(StatusError) as error:
            resource.decode_event(line)
        assert {"code": error.value.code, "reason": error.value.reason} == expected
        return
    decoded_event = resource.decode_event(line)
    if event["type"] == "BOOKMARK":
        assert decoded_event.object is None
        assert decoded_event.resource_version == expected["resourceVersion"]
        assert decoded_event.initial_events_end is expected["initialEventsEnd"]
        return
    row = {{"VirtualMachine": "vm", "VirtualMachineInstance": "vmi"}.get(kind, "migration"): event["object"]}
    made = normalized_migration(row) if "migration" in row else normalized_raw(decoded_event.object, kind)
    assert picked(made, expected) == expected


def normalized_raw(obj: Any, kind: str) -> Vm:
    """The line as it is, with nothing added."""
    vm = vm_facts(obj) if kind == "VirtualMachine" else None
    vmi = vmi_facts(obj) if kind == "VirtualMachineInstance" else None
    return join_vm(vm, vmi, None, cluster=CLUSTER, datacenter=DATACENTER)


def test_secrets_of_a_manifest_are_not_kept() -> None:
    """Cloud-init user data and annotations are in no facts and no VM."""
    document = manifest({"metadata": {"annotations": {"note": "hunter2"}}}, "VirtualMachine")
    volume = {"name": "init", "cloudInitNoCloud": {"userData": "password: hunter2"}}
    document["spec"] = {"template": {"spec": {"domain": {}, "volumes": [volume]}}}
    facts = vm_facts(decoded(VIRTUAL_MACHINES, document))
    assert "hunter2" not in repr(facts)
    vm = join_vm(facts, None, None, cluster=CLUSTER, datacenter=DATACENTER)
    assert "hunter2" not in vm.model_dump_json()


def test_key_of_a_namespaced_instancetype_has_its_namespace() -> None:
    """The key finds the instancetype's facts; the key of a cluster's instancetype has no namespace."""
    for kind, namespace in (("VirtualMachineInstancetype", "t"), (None, "")):
        vm = manifest({"spec": {"instancetype": {"name": "small", "kind": kind}}}, "VirtualMachine")
        facts = vm_facts(decoded(VIRTUAL_MACHINES, vm))
        assert facts.instancetype_key == (namespace, "small")


def test_equal_facts_share_their_values() -> None:
    """Equal strings and figures are one object, so that 10 000 VMs cost a kilobyte each."""
    one, two = (
        vmi_facts(decoded(VIRTUAL_MACHINE_INSTANCES, manifest("vmi-running-agent.json", "Instance"))) for _ in range(2)
    )
    assert one.node_name is two.node_name
    assert one.cpu is two.cpu
    assert one.memory is two.memory
    assert one.guest_os is two.guest_os
