"""Carry-over: what a VM keeps of its last published state while its instance or its instancetype cannot be read."""

import json
from typing import Any

import msgspec
from support.builders import instancetype, vm, vmi
from support.paths import SAMPLES

from summit_models.contract import ClusterName, DatacenterId
from summit_models.vm import Vm
from summit_watcher.inventory.carry_over import carry_over_vm
from summit_watcher.inventory.published import VM_CODEC
from summit_watcher.kube.manifests.instance import VirtualMachineInstance
from summit_watcher.kube.manifests.instancetype import Instancetype
from summit_watcher.kube.manifests.virtualmachine import VirtualMachine
from summit_watcher.normalize.instance import vmi_facts
from summit_watcher.normalize.instancetype import instancetype_facts
from summit_watcher.normalize.virtualmachine import vm_facts
from summit_watcher.normalize.vm import join_vm

Json = dict[str, Any]


def joined(machine: Json, instance: Json | None = None, kind: Json | None = None) -> Vm:
    return join_vm(
        vm_facts(msgspec.convert(machine, VirtualMachine)),
        vmi_facts(msgspec.convert(instance, VirtualMachineInstance)) if instance else None,
        instancetype_facts(msgspec.convert(kind, Instancetype)) if kind else None,
        cluster=ClusterName("vulcan"),
        datacenter=DatacenterId("dc-solna"),
    )


def seen(present: Vm, last: Vm, *, instances: bool = True, instancetypes: bool = True) -> Vm:
    return carry_over_vm(
        present,
        None,
        VM_CODEC.encode(last),
        has_same_disks=True,
        has_same_revision=False,
        instances_were_read=instances,
        instancetypes_were_read=instancetypes,
    )


def test_running_vms_keep_node_and_address_when_instances_are_forbidden_at_a_start() -> None:
    """A watcher that starts with a 403 on instances knows less than the log, and publishes nothing for it."""
    last = joined(vm("web"), vmi("web"))
    assert last.node_name
    assert last.ip
    assert seen(joined(vm("web")), last, instances=False) == last


def test_all_that_only_the_instance_shows_is_kept() -> None:
    """This finds a field of the instance that is not carried over: the recorded objects have all of them."""
    machine, instance = (
        json.loads((SAMPLES / name).read_text()) for name in ("vm-running-instancetype.json", "vmi-running-agent.json")
    )
    last = joined(machine, instance)
    assert seen(joined(machine), last, instances=False) == last


def test_changes_of_the_vm_itself_are_followed_meanwhile() -> None:
    """Its labels and its status change, and its status shows that it has no instance any more."""
    last = joined(vm("web"), vmi("web"))
    renamed = seen(joined(vm("web", labels={"app": "shop"})), last, instances=False)
    assert (renamed.labels, renamed.node_name) == ({"app": "shop"}, last.node_name)
    stopped = seen(joined(vm("web", status="Stopped")), last, instances=False)
    assert (stopped.status, stopped.node_name, stopped.ip, stopped.started_at) == ("stopped", None, None, None)


def test_an_instance_that_is_gone_takes_node_and_address_with_it() -> None:
    """Only what cannot be read is carried over."""
    last = joined(vm("web"), vmi("web"))
    assert seen(joined(vm("web")), last).node_name is None


def test_stopped_vms_keep_their_size_when_instancetypes_are_forbidden_at_a_start() -> None:
    """A VM that names another instancetype by now does not."""
    last = joined(vm("web", status="Stopped", instancetype="u1.large"), kind=instancetype("u1.large", cpu=2))
    assert last.cpu == 2
    assert seen(joined(vm("web", status="Stopped", instancetype="u1.large")), last, instancetypes=False) == last
    changed = seen(joined(vm("web", status="Stopped", instancetype="u1.small")), last, instancetypes=False)
    assert (changed.cpu, changed.instancetype) == (None, "u1.small")
