"""The original API's shapes, member for member. A member with a default is left out when it has it (omitempty)."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from summit_models.contract import ClusterName, DatacenterId, Revision
from summit_models.migration import Migration, MigrationDirection, PhaseTransition
from summit_models.vm import Vm, VmStatus


def _described(model: type[BaseModel], field: str) -> str | None:
    """The contract's own words for a field, so that they are written once."""
    return model.model_fields[field].description


class _Shape(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class Health(BaseModel):
    service: str = Field(examples=["backend-api"])
    status: str = Field(examples=["healthy"])


class OriginalVm(_Shape):
    """A VM as the original API shows it; GET /api/v1/vms shows all that is known."""

    id: str = Field(description=_described(Vm, "id"))
    name: str = Field(examples=["erp-db-01"])
    status: VmStatus
    cpu: int | None = Field(description=_described(Vm, "cpu"), examples=[2])
    memory: int | None = Field(description=_described(Vm, "memory"), examples=[8192])
    disk: int | None = Field(description=_described(Vm, "disk"), examples=[530])
    last_migrated_at: datetime | None = Field(
        default=None, alias="_lastMigratedAt", description=_described(Vm, "last_migrated_at")
    )
    migration_status: str | None = Field(default=None, description=_described(Vm, "migration_status"))
    migration_source: str | None = Field(default=None, description=_described(Vm, "migration_source"))
    migration_target: str | None = Field(default=None, description=_described(Vm, "migration_target"))
    cluster: ClusterName | None = Field(default=None, examples=["vulcan"])
    namespace: str | None = Field(default=None, examples=["prod-finance"])
    phase: str | None = Field(default=None, description=_described(Vm, "phase"))
    ip: str | None = Field(default=None, description=_described(Vm, "ip"))
    node_name: str | None = None
    ready: Literal[True] | None = Field(default=None, description="Condition Ready; left out unless true")
    age: str | None = Field(default=None, description="Since its creation, as kubectl writes it", examples=["5d3h"])
    stale: Literal[True] | None = Field(
        default=None, description="Its cluster has not been heard of for 90 s; left out unless true"
    )


class OriginalDatacenter(_Shape):
    id: DatacenterId = Field(examples=["dc-solna"])
    name: str = Field(examples=["Solna"])
    location: str = Field(description="Empty when it was not declared", examples=["Solna, Sweden"])
    coordinates: Annotated[list[float], Field(min_length=2, max_length=2)] | None = Field(
        description="Latitude and longitude in degrees; null when they were not declared", examples=[[59.36, 18.0]]
    )
    clusters: list[ClusterName] = Field(default=[], description="Names of its clusters, in declared order")
    vms: list[OriginalVm] = Field(description="Its VMs by name")


class Datacenters(_Shape):
    datacenters: list[OriginalDatacenter] = Field(description="By id")
    revision: Revision = Field(description="Last applied stream sequence")
    as_of: datetime | None = Field(description="When that revision was applied; null before the first")


class MigrateAnswer(BaseModel):
    """What POST /api/v1/migrate has done; its problems have `success` and `message` as well."""

    success: bool
    message: str
    vm: OriginalVm


class AutomaticMigration(_Shape):
    """What GET /api/v1/migrate has done, or why it has not."""

    ok: bool = Field(description="false: it should have migrated a VM and could not")
    migrated: bool
    vm_id: str | None = Field(default=None, description="Left out when no VM was chosen")
    from_: DatacenterId | None = Field(default=None, alias="from", examples=["dc-solna"])
    to: DatacenterId | None = Field(default=None, examples=["dc-uppsala"])
    reason: str = Field(description="What happened, in words")


class SentEvent(BaseModel):
    ok: bool
    sent: bool


class OriginalMigration(_Shape):
    """A live migration. What is unknown of the always present strings is the empty string."""

    id: str = Field(description=_described(Migration, "id"))
    name: str = Field(examples=["kubevirt-migrate-vm-q8v5t"])
    vm_id: str
    vm_name: str
    namespace: str
    cluster: ClusterName
    datacenter_id: DatacenterId
    phase: str = Field(description=_described(Migration, "phase"), examples=["Running"])
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
    updated_at: datetime = Field(description="When its present state was observed")
    completed: bool = Field(description="The migration has ended, well or not, or its object was deleted")
    labels: dict[str, str] = Field(default={})
    send_to_url: str | None = Field(default=None, alias="sendToUrl", description=_described(Migration, "send_to_url"))
    receive_from_id: str | None = Field(default=None, description=_described(Migration, "receive_from_id"))
    migration_id: str | None = Field(default=None, description=_described(Migration, "migration_id"))
    mode: str | None = Field(default=None, description=_described(Migration, "mode"))
    failure_reason: str | None = None


class Status(BaseModel):
    """Counts of all living VMs."""

    datacenters: int
    running_vms: int
    stopped_vms: int = Field(description="All that are not running, as the original counts")
    total_vms: int
    byStatus: dict[VmStatus, int] = Field(description="Each status with its count, also zero")  # noqa: N815
    stale: int = Field(description="VMs whose cluster has not been heard of for 90 s")
    revision: Revision = Field(description="Last applied stream sequence")
    asOf: datetime | None = Field(description="When that revision was applied; null before the first")  # noqa: N815
