"""One action on many VMs: which ones, within which limits, and whether it goes on.

What becomes of each VM is an ordinary operation with `parent`, so this has no progress of its own: its steps are those
that people make, and its end. As with an operation, each step is stored only onto the one that it was made from. This
module says which steps there are; it is pure.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID, uuid5

from pydantic import AwareDatetime, Field, JsonValue

from summit_models.contract import ClusterName, Contract, DatacenterId, Uid
from summit_models.operation import Action


class BulkState(StrEnum):
    RUNNING = "running"
    PAUSED = "paused"
    CANCELING = "canceling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


_S = BulkState
NEXT: Mapping[BulkState, frozenset[BulkState]] = {
    _S.RUNNING: frozenset({_S.PAUSED, _S.CANCELING, _S.SUCCEEDED, _S.FAILED}),
    _S.PAUSED: frozenset({_S.RUNNING, _S.CANCELING, _S.SUCCEEDED, _S.FAILED}),
    _S.CANCELING: frozenset({_S.CANCELED}),
    _S.SUCCEEDED: frozenset(),
    _S.FAILED: frozenset(),
    _S.CANCELED: frozenset(),
}
"""The states that may follow each state. A state without any has ended, for ever."""

_PARTS = UUID("0c5a2f7e-8f0d-5b55-9c5e-1f5a4b1c7d20")
"""Namespace of the ids of the operations on single VMs. Any UUID, but for ever this one."""


class Target(NamedTuple):
    """One of its VMs."""

    namespace: str
    id: Uid


class ClusterTargets(Contract):
    """Its VMs in one cluster."""

    datacenter: DatacenterId = Field(examples=["dc-solna"])
    cluster: ClusterName = Field(examples=["vulcan"])
    vms: dict[str, list[Uid]] = Field(
        description="Ids of the VMs by namespace", examples=[{"prod-finance": ["0b2f6f0e-5c0d-4b8e-9f63-0d1c8f1b2a77"]}]
    )

    def each(self) -> Iterator[Target]:
        """In the order of their turns."""
        return (Target(namespace, id_) for namespace, ids in self.vms.items() for id_ in ids)

    @property
    def total(self) -> int:
        return sum(map(len, self.vms.values()))


class BulkSummary(Contract):
    """Everything but its VMs, which are up to 200 KB."""

    id: Uid = Field(
        description="A UUID; made of the caller and their Idempotency-Key where there is one",
        examples=["5d1f6c1a-7c1e-5f0e-8a55-3b0c9a7e2f11"],
    )
    action: Action = Field(examples=[Action.MIGRATE])
    parameters: dict[str, JsonValue] = Field(default={}, description="What the caller gave beside the action")
    filters: dict[str, JsonValue] = Field(
        default={},
        description="The filters that its VMs met; one that does not meet them at its turn is skipped",
        examples=[{"node": ["worker-07.example.com"]}],
    )
    by: str | None = Field(
        default=None, description="Who asked: the name of the token or person; null on a server without any"
    )
    timeout_seconds: int = Field(description="How long the operation on one VM may take", examples=[3600])
    max_parallel_per_cluster: int = Field(description="Operations under way at once in one cluster", examples=[5])
    max_parallel_per_node: int = Field(
        description="Operations under way at once on VMs of one node; VMs on no node count for their cluster only",
        examples=[2],
    )
    max_failures: int | None = Field(
        default=None,
        description="No further VM begins once so many have failed or expired; null: however many there are",
        examples=[5],
    )
    total: int = Field(description="Number of VMs", examples=[12])
    datacenters: list[DatacenterId] = Field(description="Datacenters of the VMs", examples=[["dc-solna"]])
    namespaces: list[str] = Field(description="Namespaces of the VMs", examples=[["prod-finance"]])

    state: BulkState = Field(default=BulkState.RUNNING, examples=[BulkState.RUNNING])
    message: str = Field(default="", description="The newest message about it")

    requested_at: AwareDatetime
    deadline: AwareDatetime = Field(description="No VM begins after it")
    ended_at: AwareDatetime | None = None


class BulkOperation(BulkSummary):
    targets: list[ClusterTargets] = Field(description="The VMs, as they were confirmed")

    @property
    def has_ended(self) -> bool:
        return not NEXT[self.state]

    def part_id(self, cluster: ClusterName, vm: Uid) -> Uid:
        """The id of the operation on one of its VMs: whoever makes it makes the same one."""
        return Uid(str(uuid5(_PARTS, f"{self.id}\n{cluster}\n{vm}")))


def paused(operation: BulkOperation, message: str) -> BulkOperation:
    """No further VM begins; those under way go on."""
    return _next(operation, BulkState.PAUSED, message=message)


def resumed(operation: BulkOperation, message: str) -> BulkOperation:
    return _next(operation, BulkState.RUNNING, message=message)


def canceling(operation: BulkOperation, message: str) -> BulkOperation:
    """No further VM begins, and those under way are canceled, too."""
    return _next(operation, BulkState.CANCELING, message=message)


def ended(operation: BulkOperation, state: BulkState, message: str, now: datetime) -> BulkOperation:
    return _next(operation, state, message=message, ended_at=now)


def _next(operation: BulkOperation, state: BulkState, **values: object) -> BulkOperation:
    """Raises ValueError for a step that the state does not allow."""
    if state not in NEXT[operation.state]:
        raise ValueError(f"bulk operation {operation.id} is {operation.state}: it cannot become {state}")
    return operation.model_copy(update={"state": state, **values})
