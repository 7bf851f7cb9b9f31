"""Normalizing raises for no input, and gives a VM that JSON does not change."""

import contextlib
import json
from copy import deepcopy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from support.paths import SAMPLES

from summit_models.contract import ClusterName, DatacenterId
from summit_models.migration import Migration
from summit_models.vm import Vm
from summit_watcher.kube.errors import StatusError, UndecodableLine
from summit_watcher.kube.resources import (
    CLUSTER_INSTANCETYPES,
    MIGRATIONS,
    VIRTUAL_MACHINE_INSTANCES,
    VIRTUAL_MACHINES,
    WATCHED,
    Resource,
)
from summit_watcher.normalize.instance import VmiFacts, vmi_facts
from summit_watcher.normalize.instancetype import instancetype_facts
from summit_watcher.normalize.migration import ended_migration, join_migration, migration_facts
from summit_watcher.normalize.virtualmachine import vm_facts
from summit_watcher.normalize.vm import join_vm

CLUSTER, DATACENTER = ClusterName("vulcan"), DatacenterId("dc-solna")

VMS = ["vm-running-instancetype.json", "vm-stopped-stale-conditions.json", "vm-waiting-receiver.json"]
VMIS = ["vmi-running-agent.json", "vmi-migrating.json"]
VMIMS = [
    "vmim-inflight-local.json",
    "vmim-inflight-decentralized-source.json",
    "vmim-decentralized-target-waiting.json",
]

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
    | st.sampled_from(
        ["8Gi", "-1", "1e99", "abc", "Running", "Failed", "Unknown", "True", "2026-08-22T10:00:00Z", "::1"]
    )
)
nodes = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


def paths(node: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path to each node of a document but its root."""
    below = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [path for key, child in below for path in ((*above, key), *paths(child, (*above, key)))]


@st.composite
def mutated(draw: st.DrawFn, files: list[str]) -> dict[str, Any]:
    """A recorded object in which any value replaces some nodes; its uid and version stay."""
    document: dict[str, Any] = deepcopy(json.loads((SAMPLES / draw(st.sampled_from(files))).read_text()))
    document["metadata"].pop("managedFields", None)
    for _ in range(draw(st.integers(min_value=0, max_value=6))):
        kept = [
            p for p in paths(document) if p not in {("metadata",), ("metadata", "uid"), ("metadata", "resourceVersion")}
        ]
        *way, last = draw(st.sampled_from(kept))
        node: Any = document
        for key in way:
            node = node[key]
        node[last] = draw(nodes)
    return document


def read(resource: Resource[Any], document: object) -> Any:
    line = json.dumps({"type": "MODIFIED", "object": document}).encode() + b"\n"
    return resource.decode_event(line).object


def assert_sound(vm: Vm) -> None:
    assert Vm.model_validate_json(vm.model_dump_json()) == vm
    assert "\\u0000" not in vm.model_dump_json()  # Postgres takes no NUL in a text
    assert vm.problems == list(dict.fromkeys(vm.problems))
    for number in (vm.cpu, vm.memory, vm.disk, vm.memory_bytes, vm.disk_bytes):
        assert number is None or 0 <= number < 2**63
    assert (vm.cpu is None) == any(p.startswith(("cpu:", "instancetype:")) for p in vm.problems)
    assert (vm.disk is None) == any(p.startswith("disk:") for p in vm.problems)
    assert vm.ip == (vm.ips[0] if vm.ips else None)


@settings(max_examples=120, deadline=None)
@given(mutated(VMS), mutated(VMIS), mutated(["clusterinstancetype-u1.large.json"]), st.booleans())
def test_mutated_manifests_always_make_a_sound_vm(
    vm: dict[str, Any], vmi: dict[str, Any], instancetype: dict[str, Any], only: bool
) -> None:
    """A bad value becomes null with a reason, and the VM is kept."""
    vm_read = vm_facts(read(VIRTUAL_MACHINES, vm))
    vmi_read: VmiFacts = vmi_facts(read(VIRTUAL_MACHINE_INSTANCES, vmi))
    sizes = instancetype_facts(read(CLUSTER_INSTANCETYPES, instancetype))
    joins = (
        [(vm_read, None, None), (vm_read, None, sizes)]
        if only
        else [(vm_read, vmi_read, sizes), (None, vmi_read, None)]
    )
    for joined in joins:
        assert_sound(join_vm(*joined, cluster=CLUSTER, datacenter=DATACENTER))


@settings(max_examples=100, deadline=None)
@given(mutated(VMIMS), mutated(VMIS))
def test_mutated_migrations_always_make_a_migration(vmim: dict[str, Any], vmi: dict[str, Any]) -> None:
    """Each can also be ended."""
    facts = migration_facts(read(MIGRATIONS, vmim))
    instance = vmi_facts(read(VIRTUAL_MACHINE_INSTANCES, vmi))
    for seen in (instance, None):
        made = join_migration(facts, seen, None, cluster=CLUSTER, datacenter=DATACENTER)
        assert Migration.model_validate_json(made.model_dump_json()) == made
        assert ended_migration(made, was_seen=True).completed


@settings(max_examples=100, deadline=None)
@given(nodes, nodes, st.sampled_from(WATCHED))
def test_any_object_is_read_or_refused(spec: object, status: object, resource: Resource[Any]) -> None:
    """An object that does not look like its kind is kept by its metadata."""
    document = {"metadata": {"uid": "u", "name": "a", "resourceVersion": "1"}, "spec": spec, "status": status}
    assert read(resource, document).metadata.uid == "u"


@settings(max_examples=200, deadline=None)
@given(nodes, st.sampled_from(WATCHED))
def test_any_line_is_read_or_refused(obj: object, resource: Resource[Any]) -> None:
    """A line raises nothing but the two expected errors."""
    with contextlib.suppress(StatusError, UndecodableLine):
        read(resource, obj)


@settings(max_examples=100, deadline=None)
@given(st.permutations(range(5)), st.permutations(range(4)))
def test_unordered_parts_do_not_change_the_facts(interfaces: list[int], conditions: list[int]) -> None:
    """Interfaces of the guest and conditions come in any order, which is no change."""
    document = json.loads((SAMPLES / VMIS[0]).read_text())
    expected = vmi_facts(read(VIRTUAL_MACHINE_INSTANCES, document))
    status = document["status"]
    bridges = [{"interfaceName": "br-1", "ipAddress": "172.18.0.1"}, {"interfaceName": "br-2"}]
    all_interfaces = [*status["interfaces"], *bridges]
    status["interfaces"] = [all_interfaces[n] for n in interfaces]
    status["conditions"] = [status["conditions"][n] for n in conditions] + status["conditions"][4:]
    assert vmi_facts(read(VIRTUAL_MACHINE_INSTANCES, document)) == expected
