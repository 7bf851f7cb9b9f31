"""Events and their subjects: one JSON document per event, CloudEvents 1.0 structured mode, and where it is published.

Writers publish to `ingest.summit.…`; the stream stores it as `summit.…` and republishes what it stored under that
name, so a plain subscriber sees exactly the log. A `.` inside a name becomes `_`, which no Kubernetes name contains.
Specification: CloudEvents 1.0.2, JSON event format and NATS protocol binding.
"""

import re
from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import AwareDatetime, Field, JsonValue

from summit_models.cluster import ClusterHealth, ConnectionState
from summit_models.contract import ClusterName, Contract, DatacenterId, Uid
from summit_models.datacenter import Datacenter
from summit_models.epoch import EpochStart
from summit_models.migration import Migration
from summit_models.vm import Vm

STREAM = "SUMMIT"
HEALTH_BUCKET = "summit-clusters"
"""KV bucket of leases and cluster health, key `<datacenter>.<cluster>`."""

PUBLIC_ROOT = "summit"
INGEST_ROOT = "ingest.summit"
MAX_SUBJECT_LENGTH = 1000
"""The server closes a connection for good above 4096 bytes of control line; no real name comes near this."""


class VmEventType(StrEnum):
    CREATED = "summit.vm.created"
    UPDATED = "summit.vm.updated"
    DELETED = "summit.vm.deleted"
    OBSERVED = "summit.vm.observed"
    """Nothing changed: repeated so that the last state of a living VM never ages out of the stream."""


class MigrationEventType(StrEnum):
    CREATED = "summit.migration.created"
    UPDATED = "summit.migration.updated"
    DELETED = "summit.migration.deleted"
    OBSERVED = "summit.migration.observed"
    """As for VMs; a migration that has ended is not repeated."""


REPETITIONS = frozenset({VmEventType.OBSERVED, MigrationEventType.OBSERVED})


class ResourceVersions(Contract):
    """The resourceVersions a joined state was made from; each only rises within one uid. 0: none, or not a number.

    Versions of one resource may be compared as integers (KEP-5504). `vmi` keeps the version at which the instance
    was deleted, so that a VM which stops does not look older than the VM that ran.
    """

    vm: int = 0
    vmi: int = 0
    instancetype: int = 0


class VmEventData(Vm):
    """The whole state, what changed in it, and what it was made from. A deleted event carries the last state."""

    changes: dict[str, JsonValue] = Field(default={}, description="Changed field to its old value")
    resource_versions: ResourceVersions = ResourceVersions()
    final_state_unknown: bool = Field(
        default=False,
        description="The delete was found by comparing lists; the last state may have been another",
    )


class MigrationEventData(Migration):
    changes: dict[str, JsonValue] = Field(default={}, description="Changed field to its old value")
    resource_version: int = 0
    final_state_unknown: bool = False


class CloudEvent(Contract):
    specversion: Literal["1.0"] = "1.0"
    id: str = Field(description="The same for each try to publish this event, so that the log has it once")
    source: str = Field(examples=["/datacenters/dc-solna/clusters/vulcan"])
    subject: str = Field(description="What the event is about", examples=["prod-finance/erp-db-01"])
    time: AwareDatetime = Field(description="When it was observed")
    datacontenttype: Literal["application/json"] = "application/json"
    epoch: int = Field(
        default=0, description="Raised each time that watching the cluster begins anew; older epochs are ignored"
    )


class VmEvent(CloudEvent):
    type: VmEventType
    data: VmEventData


class MigrationEvent(CloudEvent):
    type: MigrationEventType
    data: MigrationEventData


class ClusterEvent(CloudEvent):
    """The newest one of a cluster says which epoch is the newest."""

    type: str = Field(pattern=r"^summit\.cluster\.[a-z_]+$")
    history: int = Field(
        default=0,
        description="Epoch in which the present history of the cluster began; resourceVersions of earlier epochs "
        "compare with none of it",
    )
    began: int = Field(default=0, description="Revision of the first event of this epoch; 0 in that event itself")
    fences: list[EpochStart] = Field(
        default=[],
        description="Where earlier epochs began, oldest first: those after which something void may still be the last "
        "event of its subject",
    )
    data: ClusterHealth


class DatacenterEvent(CloudEvent):
    type: Literal["summit.datacenter.updated"] = "summit.datacenter.updated"
    data: Datacenter


Event = VmEvent | MigrationEvent | ClusterEvent | DatacenterEvent


def cluster_event_type(state: ConnectionState) -> str:
    return f"summit.cluster.{state}"


def datacenter_event(datacenter: Datacenter, *, version: str, time: datetime) -> DatacenterEvent:
    """That a datacenter is so from now on. `version` tells one such event of it from another."""
    return DatacenterEvent(
        id=f"{datacenter.id}/{version}",
        source=source_of(datacenter.id),
        subject=datacenter.id,
        time=time,
        data=datacenter,
    )


def source_of(datacenter: DatacenterId, cluster: ClusterName | None = None) -> str:
    return f"/datacenters/{datacenter}" + (f"/clusters/{cluster}" if cluster else "")


def vm_subject(datacenter: DatacenterId, cluster: ClusterName, namespace: str, name: str) -> str:
    """Public subject of a VM's events.

    Raises ValueError when a name cannot be a subject token: the server would store `*` literally and lets no
    subscriber find an empty token.
    """
    return _subject("vms", datacenter, cluster, namespace, name)


def unmanaged_vm_subject(datacenter: DatacenterId, uid: Uid) -> str:
    """Public subject of the events of a VM that was added by hand.

    It has the id, where a watched VM has its name: names given by hand may be any text, need not differ, and change.
    No cluster is called `-`, so no watcher takes such a VM for one of its own.
    """
    return _subject("vms", datacenter, UNMANAGED, UNMANAGED, uid)


def unmanaged_vm_subjects(uid: Uid) -> str:
    """Filter for all events of one such VM, in whichever datacenter it was."""
    return unmanaged_vm_subject(DatacenterId("any"), uid).replace(".any.", ".*.", 1)


def migration_subject(datacenter: DatacenterId, cluster: ClusterName, namespace: str, name: str) -> str:
    return _subject("migrations", datacenter, cluster, namespace, name)


def cluster_subject(datacenter: DatacenterId, cluster: ClusterName) -> str:
    return _subject("clusters", datacenter, cluster)


def datacenter_subject(datacenter: DatacenterId) -> str:
    return _subject("datacenters", datacenter)


def subject_of(event: Event) -> str:
    """The public subject an event belongs under, from its own data. Raises ValueError as `vm_subject` does."""
    match event:
        case VmEvent(data=vm) if not vm.managed:
            return unmanaged_vm_subject(vm.datacenter, vm.id)
        case VmEvent(data=vm):
            return vm_subject(vm.datacenter, vm.cluster or UNMANAGED, vm.namespace or UNMANAGED, vm.name)
        case MigrationEvent(data=migration):
            return migration_subject(migration.datacenter_id, migration.cluster, migration.namespace, migration.name)
        case ClusterEvent(data=cluster):
            return cluster_subject(cluster.datacenter, cluster.name)
        case DatacenterEvent(data=datacenter):
            return datacenter_subject(datacenter.id)


UNMANAGED = ClusterName("-")
"""Token in place of cluster and namespace in the subject of a VM that was added by hand."""


def ingest(subject: str) -> str:
    """The subject to publish on so that the stream stores the event as `subject`."""
    return f"{INGEST_ROOT}{subject.removeprefix(PUBLIC_ROOT)}"


def _subject(*tokens: str) -> str:
    """Each event's subject is made at least twice, so one match looks at all of it."""
    subject = ".".join((PUBLIC_ROOT, *[token.replace(".", "_") for token in tokens]))
    if not _TOKENS.fullmatch(subject):
        raise ValueError(f"{tokens!r} cannot be the tokens of a NATS subject")
    if len(subject) > MAX_SUBJECT_LENGTH:
        raise ValueError(f"subject of {len(subject)} characters is too long: {subject[:80]!r}…")
    return subject


_TOKENS = re.compile(r"[^.*>\s\0]+(?:\.[^.*>\s\0]+)*")
