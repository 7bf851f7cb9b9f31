"""Instancetypes give the vCPUs and memory of the VMs that name them and do not run.

A VirtualMachine with an instancetype must not set cpu or memory itself, so its template has neither. Preferences
arrange vCPUs and never change their number, so they are not read.
"""

from functools import lru_cache
from typing import NamedTuple

from summit_watcher.kube.manifests.instancetype import Instancetype
from summit_watcher.normalize.facts import Facts, head_of, text
from summit_watcher.normalize.guest import MAX_VCPUS
from summit_watcher.normalize.quantity import Figure, known, measured, shown, unknown

_NAMESPACED = frozenset({"virtualmachineinstancetype", "virtualmachineinstancetypes"})
_OF_CLUSTER = frozenset({"virtualmachineclusterinstancetype", "virtualmachineclusterinstancetypes"})
"""Any case, singular or plural: pkg/instancetype/find/spec.go."""

_UID_LENGTH = 36


class InstancetypeKey(NamedTuple):
    namespace: str
    """Empty for an instancetype of the cluster."""
    name: str


class InstancetypeFacts(Facts, frozen=True, gc=False, kw_only=True):
    cpu: Figure
    memory: Figure
    generation: int = 0

    @property
    def key(self) -> InstancetypeKey:
        return InstancetypeKey(self.namespace, self.name)

    @property
    def pin(self) -> str:
        """The value of `pinned` of a VM that uses the present generation of this object."""
        return f"{self.uid}-{self.generation}"


def instancetype_facts(obj: Instancetype) -> InstancetypeFacts:
    """Read an instancetype; `spec.cpu.guest` and `spec.memory.guest` are required by its CRD."""
    metadata, spec = obj.metadata, obj.spec
    return InstancetypeFacts(
        **head_of(metadata),
        generation=metadata.generation or 0,
        cpu=_vcpus(metadata.name, spec.cpu.guest if spec and spec.cpu else None),
        memory=_memory(metadata.name, spec.memory.guest if spec and spec.memory else None),
        problems=obj.decode_problems,
    )


def _vcpus(name: str | None, guest: int | None) -> Figure:
    if guest is None or not 0 < guest <= MAX_VCPUS:
        return unknown(f"cpu: instancetype {shown(name)} has no valid spec.cpu.guest")
    return known(guest)


def _memory(name: str | None, guest: str | float | None) -> Figure:
    size = measured("memory", guest) if guest is not None else None
    if size is None or not size.value:
        return unknown(f"memory: instancetype {shown(name)} has no valid spec.memory.guest")
    return size


@lru_cache(maxsize=4096)
def lookup(name: str | None, kind: str | None, namespace: str) -> tuple[InstancetypeKey | None, Figure]:
    """The instancetype that a VM in `namespace` names, and the figure for its vCPUs and memory while that is missing.

    No key if it names none, or one of an unknown kind. The kind may be absent in the stored object; then it is the
    cluster's.
    """
    if not name:
        return None, unknown("instancetype: the VM does not name one yet")
    folded = (kind or "VirtualMachineClusterInstancetype").lower()
    missing = unknown(f"instancetype: {shown(name)} not found")
    if folded in _OF_CLUSTER:
        return InstancetypeKey("", name), missing
    if folded in _NAMESPACED:
        return InstancetypeKey(namespace, name), missing
    return None, unknown(f"instancetype: kind {shown(kind)} is unknown")


def pin_of(revision: str | None) -> str | None:
    """`<uid>-<generation>` of the instancetype that a ControllerRevision copies; None if its name has another form.

    Its name is `<vm>-<instancetype>-<apiversion>-<uid>-<generation>`: pkg/instancetype/revision/store.go.
    """
    head, _, generation = (revision or "").rpartition("-")
    before, uid = head[:-_UID_LENGTH], head[-_UID_LENGTH:]
    if not (before.endswith("-") and uid.count("-") == 4 and generation.isdecimal()):
        return None
    return text(f"{uid}-{generation}")


def was_edited_since(pinned: str | None, instancetype: InstancetypeFacts) -> bool:
    """Whether the VM uses an older generation of this very object.

    Another uid proves nothing: instancetypes that were restored or installed again have one.
    """
    return bool(pinned and pinned.startswith(f"{instancetype.uid}-") and pinned != instancetype.pin)
