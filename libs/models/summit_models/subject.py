"""Subjects: where each event is published, stored and read.

Writers publish to `ingest.summit.…`; the stream stores the event as `summit.…` and republishes it under that name, so
a plain subscriber sees exactly the log. A `.` inside a name becomes `_`, which no Kubernetes name contains.
Specification: CloudEvents 1.0.2, NATS protocol binding.
"""

import re

from summit_models.contract import ClusterName, DatacenterId, Uid
from summit_models.event import (
    BulkOperationEvent,
    ClusterEvent,
    DatacenterEvent,
    Event,
    MigrationEvent,
    OperationEvent,
    VmEvent,
)
from summit_models.operation import Operation

STREAM = "SUMMIT"
HEALTH_BUCKET = "summit-clusters"
"""KV bucket of cluster health, key `<datacenter>.<cluster>`."""
LEASE_BUCKET = "summit-leases"
"""KV bucket of watchers and of what each has: keys `member.<watcher>/<run>` and `cluster.<datacenter>.<cluster>`."""

PUBLIC_ROOT = "summit"
INGEST_ROOT = "ingest.summit"
MAX_SUBJECT_LENGTH = 1000
"""The server closes a connection for good above 4096 bytes of control line; no real name comes near this."""

UNMANAGED = ClusterName("-")
"""Token in place of cluster and namespace in the subject of a VM that was added by hand."""

ANY = "*"
"""Token of a filter that stands for any one token."""

_TOKENS = re.compile(r"[^.*>\s\0]+(?:\.[^.*>\s\0]+)*")


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
    return _filter("vms", ANY, UNMANAGED, UNMANAGED, uid)


def migration_subject(datacenter: DatacenterId, cluster: ClusterName, namespace: str, name: str) -> str:
    return _subject("migrations", datacenter, cluster, namespace, name)


def operation_subject(datacenter: DatacenterId, cluster: ClusterName, id_: Uid) -> str:
    """Each operation has a subject of its own, so that each of its steps can be made from the one before."""
    return _subject("operations", datacenter, cluster, id_)


def bulk_operation_subject(id_: Uid) -> str:
    return _subject("bulk_operations", id_)


OPERATIONS = f"{PUBLIC_ROOT}.operations.>"
"""Filter of all operations, in all clusters."""
BULK_OPERATIONS = f"{PUBLIC_ROOT}.bulk_operations.*"
"""Filter of all operations on many VMs."""


def cluster_subject(datacenter: DatacenterId, cluster: ClusterName) -> str:
    return _subject("clusters", datacenter, cluster)


def datacenter_subject(datacenter: DatacenterId) -> str:
    return _subject("datacenters", datacenter)


def subject_of(event: Event) -> str:
    """The public subject an event belongs under, from its own data. Raises ValueError as `vm_subject` does."""
    match event:
        case VmEvent(data=vm):
            return (
                vm_subject(vm.datacenter, vm.cluster or UNMANAGED, vm.namespace or UNMANAGED, vm.name)
                if vm.managed
                else unmanaged_vm_subject(vm.datacenter, vm.id)
            )
        case MigrationEvent(data=migration):
            return migration_subject(migration.datacenter_id, migration.cluster, migration.namespace, migration.name)
        case OperationEvent(data=operation):
            return subject_of_operation(operation)
        case BulkOperationEvent(data=bulk_operation):
            return bulk_operation_subject(bulk_operation.id)
        case ClusterEvent(data=cluster):
            return cluster_subject(cluster.datacenter, cluster.name)
        case DatacenterEvent(data=datacenter):
            return datacenter_subject(datacenter.id)


def subject_of_operation(operation: Operation) -> str:
    """The subject of all steps of an operation."""
    return operation_subject(operation.datacenter, operation.cluster, operation.id)


def ingest(subject: str) -> str:
    """The subject to publish on so that the stream stores the event as `subject`."""
    return f"{INGEST_ROOT}{subject.removeprefix(PUBLIC_ROOT)}"


def operations_subject(cluster: str) -> str:
    """Filter of all operations of a cluster, in whichever datacenter it was when they were asked for."""
    return _filter("operations", ANY, cluster, ANY)


def same_operation_subject(id_: Uid) -> str:
    """Filter of one operation, in whichever cluster it is."""
    return _filter("operations", ANY, ANY, id_)


def cluster_subjects(datacenter: str = ANY, cluster: str = ANY) -> str:
    """Filter of the states of clusters."""
    return _filter("clusters", datacenter, cluster)


def datacenter_subjects() -> str:
    """Filter of all datacenters."""
    return _filter("datacenters", ANY)


def _filter(*tokens: str) -> str:
    """A filter, in which ANY stands for one token. Raises ValueError as `_subject`."""
    return ".".join((PUBLIC_ROOT, *[token if token == ANY else _subject(token).partition(".")[2] for token in tokens]))


def _subject(*tokens: str) -> str:
    """Each event's subject is made at least twice, so one match looks at all of it."""
    subject = ".".join((PUBLIC_ROOT, *[token.replace(".", "_") for token in tokens]))
    if not _TOKENS.fullmatch(subject):
        raise ValueError(f"{tokens!r} cannot be the tokens of a NATS subject")
    if len(subject) > MAX_SUBJECT_LENGTH:
        raise ValueError(f"subject of {len(subject)} characters is too long: {subject[:80]!r}…")
    return subject
