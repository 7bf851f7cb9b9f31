"""The original API's shapes, member for member. A member that has its default is left out of the JSON (omitempty)."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from summit_models.cluster import ConnectionState
from summit_models.contract import ClusterName, DatacenterId, Revision
from summit_models.migration import Migration, MigrationDirection, MigrationInitiator, PhaseTransition
from summit_models.vm import Vm, VmStatus


def _like(model: type[BaseModel], field: str, **more: Any) -> Any:
    """A member with the description and the examples that the contract's field has."""
    info = model.model_fields[field]
    return Field(**{"description": info.description, "examples": info.examples, **more})


class _Shape(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class Health(BaseModel):
    service: str = Field(examples=["backend-api"])
    status: str = Field(examples=["healthy"])


class OriginalVm(_Shape):
    """A VM as the original API shows it; GET /api/v1/vms shows all members."""

    id: str = _like(Vm, "id")
    name: str = _like(Vm, "name")
    status: VmStatus
    cpu: int | None = _like(Vm, "cpu")
    memory: int | None = _like(Vm, "memory")
    disk: int | None = _like(Vm, "disk")
    last_migrated_at: datetime | None = _like(Vm, "last_migrated_at", default=None, alias="_lastMigratedAt")
    migration_status: str | None = _like(Vm, "migration_status", default=None)
    migration_source: str | None = _like(Vm, "migration_source", default=None)
    migration_target: str | None = _like(Vm, "migration_target", default=None)
    cluster: ClusterName | None = _like(Vm, "cluster", default=None)
    namespace: str | None = _like(Vm, "namespace", default=None)
    phase: str | None = _like(
        Vm,
        "phase",
        default=None,
        description="Phase of the instance of a running, migrating or waitingforreceiver VM, else the printable status",
    )
    ip: str | None = _like(Vm, "ip", default=None)
    node_name: str | None = _like(Vm, "node_name", default=None)
    ready: Literal[True] | None = Field(default=None, description="Condition Ready; left out unless true")
    age: str | None = Field(default=None, description="Time since its creation, as in kubectl", examples=["5d3h"])
    stale: Literal[True] | None = Field(
        default=None,
        description="Its cluster's last report is older than 90 s, or events wait to be applied; left out unless true",
    )


class OriginalDatacenter(_Shape):
    id: DatacenterId = Field(examples=["dc-solna"])
    name: str = Field(examples=["Solna"])
    location: str = Field(description="Empty if it was not declared", examples=["Solna, Sweden"])
    coordinates: Annotated[list[float], Field(min_length=2, max_length=2)] | None = Field(
        description="Latitude and longitude in degrees; null if they were not declared", examples=[[59.36, 18.0]]
    )
    clusters: list[ClusterName] = Field(default=[], description="Names of its clusters, in declared order")
    vms: list[OriginalVm] = Field(description="Its VMs by name")


class Datacenters(_Shape):
    datacenters: list[OriginalDatacenter] = Field(description="By id")
    revision: Revision = Field(description="Last applied stream sequence")
    as_of: datetime | None = Field(description="When that revision was applied; null before the first")


class MigrateAnswer(BaseModel):
    """The result of POST /api/v1/migrate; its problems have `success` and `message` as well."""

    success: bool
    message: str
    vm: OriginalVm


class AutomaticMigration(_Shape):
    """The result of GET /api/v1/migrate."""

    ok: bool = Field(description="false: a VM should have been migrated, but could not be")
    migrated: bool
    vm_id: str | None = Field(default=None, description="Left out when no VM was chosen")
    from_: DatacenterId | None = Field(default=None, alias="from", examples=["dc-solna"])
    to: DatacenterId | None = Field(default=None, examples=["dc-uppsala"])
    operation: str | None = Field(default=None, description="Id of the operation that migrates a watched VM live")
    reason: str = Field(description="What happened, in words")


class SentEvent(BaseModel):
    ok: bool
    sent: bool


class OriginalMigration(_Shape):
    """A live migration. Unknown strings that are always present are empty."""

    id: str = _like(Migration, "id")
    name: str = _like(Migration, "name")
    vm_id: str
    vm_name: str
    namespace: str
    cluster: ClusterName
    datacenter_id: DatacenterId
    phase: str = _like(Migration, "phase", examples=["Running"])
    direction: MigrationDirection
    source_cluster: str
    target_cluster: str
    source_node: str
    target_node: str
    source_pod: str
    target_pod: str
    start_time: datetime | None
    end_time: datetime | None
    phase_transitions: list[PhaseTransition]
    created_at: datetime
    updated_at: datetime = Field(description="When its current state was observed")
    completed: bool = Field(description="The migration has ended, well or not, or its object was deleted")
    labels: dict[str, str] = Field(default={})
    send_to_url: str | None = _like(Migration, "send_to_url", default=None, alias="sendToUrl")
    receive_from_id: str | None = _like(Migration, "receive_from_id", default=None)
    migration_id: str | None = _like(Migration, "migration_id", default=None)
    mode: str | None = _like(Migration, "mode", default=None)
    failure_reason: str | None = None
    initiator: MigrationInitiator | None = _like(Migration, "initiator", default=None)
    operation: str | None = _like(Migration, "operation", default=None)
    stuck: str | None = _like(Migration, "stuck", default=None)


EMPTY_IF_UNKNOWN = [
    name
    for name, field in OriginalMigration.model_fields.items()
    if field.annotation is str and name in Migration.model_fields and Migration.model_fields[name].default is None
]
"""Members of a migration that are null in the contract, but the empty string in the original."""


class Status(_Shape):
    """Counts of all living VMs."""

    datacenters: int
    running_vms: int = Field(alias="running_vms")
    stopped_vms: int = Field(alias="stopped_vms", description="All that are not running, as the original counts")
    total_vms: int = Field(alias="total_vms")
    by_status: dict[VmStatus, int] = Field(description="Each status with its count, also if it is 0")
    clusters_by_state: dict[ConnectionState, int] | None = Field(
        description="Each state with its number of clusters as they are now, also if it is 0; null with `at`"
    )
    stale: int = Field(description="VMs whose state may be old: see `/api/v1/clusters`")
    revision: Revision = Field(description="Last applied stream sequence")
    as_of: datetime | None = Field(description="When that revision was applied; null before the first")
