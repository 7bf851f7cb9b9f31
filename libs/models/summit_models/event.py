"""Events: one JSON document each, CloudEvents 1.0 in structured mode. Their subjects are in `subject`.

Specification: CloudEvents 1.0.2, JSON event format.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import AwareDatetime, Field, JsonValue

from summit_models.bulk_operation import BulkOperation
from summit_models.cluster import ClusterHealth, ConnectionState
from summit_models.contract import ClusterName, Contract, DatacenterId, Revision
from summit_models.datacenter import Datacenter
from summit_models.migration import Migration
from summit_models.operation import Operation
from summit_models.vm import Vm

EPOCHS_OF_LOST_LOGS = 1_000_000
"""A log that was lost begins at revision 1, and its clusters go on with their numbers. A cluster that begins an epoch
each minute needs two years for so many."""


class VmEventType(StrEnum):
    CREATED = "summit.vm.created"
    UPDATED = "summit.vm.updated"
    DELETED = "summit.vm.deleted"
    OBSERVED = "summit.vm.observed"
    """Nothing changed: a repetition keeps the last state of a living VM from ageing out of the stream."""


class MigrationEventType(StrEnum):
    CREATED = "summit.migration.created"
    UPDATED = "summit.migration.updated"
    DELETED = "summit.migration.deleted"
    OBSERVED = "summit.migration.observed"
    """The same for a migration; one that has ended is not repeated."""


REPETITIONS = frozenset({VmEventType.OBSERVED, MigrationEventType.OBSERVED})


class ResourceVersions(Contract):
    """The resourceVersions of the objects that a state was joined from. 0: there was none, or it is not a number.

    Each only rises within one uid, and versions of one resource compare as integers (KEP-5504). `vmi` keeps the
    version at which the instance was deleted, so that a VM that has stopped does not look older than the VM that ran.
    """

    vm: int = 0
    vmi: int = 0
    instancetype: int = 0


_CHANGES: Any = Field(default={}, description="Old value of each field that changed, by its name")
_FINAL_STATE_UNKNOWN = Field(
    default=False,
    description="true: no watch reported the delete, a list no longer contains the object; its last state may "
    "have been another",
)

_BY: Any = Field(
    default=None,
    description="Who made the change: the name of the token or person for an edit by hand; for a watched VM whom the "
    "cluster itself names (annotation `kubevirt.io/last-modified-by`). Null where that is not known",
)


class VmEventData(Vm):
    """The whole state, its changes, and its resourceVersions. A deleted event carries the last state."""

    changes: dict[str, JsonValue] = _CHANGES
    resource_versions: ResourceVersions = ResourceVersions()
    final_state_unknown: bool = _FINAL_STATE_UNKNOWN
    by: str | None = _BY


class MigrationEventData(Migration):
    changes: dict[str, JsonValue] = _CHANGES
    resource_version: int = 0
    final_state_unknown: bool = _FINAL_STATE_UNKNOWN


class DatacenterEventData(Datacenter):
    by: str | None = _BY


class EpochStart(Contract):
    """Events after `revision` under an epoch below `epoch` are stale."""

    epoch: int
    revision: int = Field(description="Revision of the first event of that epoch")


def is_stale_epoch(epoch: int, revision: int, starts: Iterable[EpochStart]) -> bool:
    """Whether a later epoch of its cluster had begun when an event of this epoch was stored at this revision.

    It is then from a watcher that had lost the cluster to another one, and readers ignore it. The projector meets the
    starts of epochs as it reads on. A reader of only the last event of each subject, such as a watcher that starts, has
    them from the newest event of the cluster (`ClusterEvent.epoch_starts`).
    """
    return any(epoch < start.epoch and revision > start.revision for start in starts)


def is_possible_epoch(epoch: int, revision: int) -> bool:
    """Whether an event at this revision can be of this epoch: each epoch has an event in the log, its first.

    Whatever is possible leaves room for the epoch after it, so no number that somebody writes can be the last one.
    """
    return 0 <= epoch <= revision + EPOCHS_OF_LOST_LOGS


def has_begun(epoch: int, revision: int, starts: Sequence[EpochStart]) -> bool:
    """Whether the log had the beginning of this epoch when an event of it was stored at this revision.

    A watcher begins an epoch in the log before it publishes anything under it. True where no start is known, since the
    log may have dropped it with its age.
    """
    before = [start.epoch for start in starts if start.revision < revision]
    return epoch <= max(before) if before else all(epoch <= start.epoch for start in starts)


class CloudEvent(Contract):
    specversion: Literal["1.0"] = "1.0"
    id: str = Field(description="The same for each attempt to publish this event, so that the log stores it once")
    source: str = Field(examples=["/datacenters/dc-solna/clusters/vulcan"])
    subject: str = Field(description="The object that the event is about", examples=["prod-finance/erp-db-01"])
    time: AwareDatetime = Field(description="When the watcher or the api observed it")
    datacontenttype: Literal["application/json"] = "application/json"
    epoch: int = Field(
        default=0,
        description="Which watch of the cluster published it; each watcher that begins to watch a cluster begins the "
        "next epoch, and readers ignore what an older one still publishes",
    )


class VmEvent(CloudEvent):
    type: VmEventType
    data: VmEventData


class MigrationEvent(CloudEvent):
    type: MigrationEventType
    data: MigrationEventData


class ClusterEvent(CloudEvent):
    """The state of a cluster's connection. The newest one of a cluster has its newest epoch."""

    type: str = Field(pattern=r"^summit\.cluster\.[a-z_]+$")
    history: int = Field(
        default=0,
        description="Epoch in which the present history of the cluster began; resourceVersions of earlier epochs do "
        "not compare with those of this history",
    )
    began: int = Field(default=0, description="Revision of the first event of this epoch; 0 in that event itself")
    epoch_starts: list[EpochStart] = Field(
        default=[],
        alias="fences",
        description="Where earlier epochs began, oldest first, as long as a stale event may be the last event of its "
        "subject",
    )
    data: ClusterHealth


class DatacenterEvent(CloudEvent):
    type: Literal["summit.datacenter.updated"] = "summit.datacenter.updated"
    data: DatacenterEventData


class OperationEvent(CloudEvent):
    """A step of an operation. Steps have no epoch: each is stored only onto the one that it was made from."""

    type: str = Field(pattern=r"^summit\.operation\.[a-z]+$")
    data: Operation


class BulkOperationEvent(CloudEvent):
    """A step of an operation on many VMs. The operation on each of them has events of its own."""

    type: str = Field(pattern=r"^summit\.bulk_operation\.[a-z]+$")
    data: BulkOperation


Event = VmEvent | MigrationEvent | ClusterEvent | DatacenterEvent | OperationEvent | BulkOperationEvent


def cluster_event_type(state: ConnectionState) -> str:
    return f"summit.cluster.{state}"


def datacenter_event(datacenter: Datacenter, *, version: str, time: datetime, by: str | None = None) -> DatacenterEvent:
    """The event that publishes the state of a datacenter. `version` makes its id unique; `by` is who edited it."""
    return DatacenterEvent(
        id=f"{datacenter.id}/{version}",
        source=source_of(datacenter.id),
        subject=datacenter.id,
        time=time,
        data=DatacenterEventData(**{**dict(datacenter), "by": by}),
    )


def operation_event(operation: Operation, basis: Revision, *, writer: str, time: datetime) -> OperationEvent:
    """The event that publishes a step, which was made from the step with the revision `basis`.

    Its id has the writer, which is unique: two that make the same step at once would otherwise both get the answer that
    theirs is stored, since NATS takes the second for a repetition of the first. Not so the first step: its id is that
    of the operation, so that the log has one operation of an id, in whichever cluster.
    """
    return OperationEvent(
        id=f"{operation.id}/{basis}/{operation.state}/{writer}" if basis else f"{operation.id}/0",
        source=source_of(operation.datacenter, operation.cluster),
        subject=f"{operation.namespace}/{operation.vm_name}",
        time=time,
        type=f"summit.operation.{operation.state}",
        data=operation,
    )


BULK_SOURCE = "/bulk-operations"
"""Source of the events about many VMs: their clusters and datacenters may be several."""


def bulk_operation_event(
    operation: BulkOperation, basis: Revision, *, writer: str, time: datetime
) -> BulkOperationEvent:
    """The event that publishes a step, which was made from the step with the revision `basis`. As `operation_event`."""
    return BulkOperationEvent(
        id=f"{operation.id}/{basis}/{operation.state}/{writer}",
        source=BULK_SOURCE,
        subject=operation.id,
        time=time,
        type=f"summit.bulk_operation.{operation.state}",
        data=operation,
    )


def source_of(datacenter: DatacenterId, cluster: ClusterName | None = None) -> str:
    return f"/datacenters/{datacenter}" + (f"/clusters/{cluster}" if cluster else "")
