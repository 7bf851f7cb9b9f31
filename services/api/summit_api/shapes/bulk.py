"""Operations on many VMs as answers have them: without the list of VMs, and with what became of these."""

from pydantic import AwareDatetime, Field, JsonValue

from summit_api.shapes.inventory import ListAnswer
from summit_models.bulk_operation import BulkSummary
from summit_models.contract import ClusterName, Contract, DatacenterId, Revision, Uid
from summit_models.operation import Action
from summit_models.vm import VmStatus


class BulkShown(BulkSummary):
    observed_at: AwareDatetime = Field(description="When this step was made")
    revision: Revision = Field(description="Stream sequence of the step")


class BulkCounts(Contract):
    """How many of its VMs wait for their turn, and how many operations are in each state."""

    waiting: int = Field(default=0, description="VMs that have not had their turn")
    pending: int = 0
    running: int = 0
    canceling: int = 0
    succeeded: int = 0
    failed: int = 0
    canceled: int = 0
    expired: int = 0
    skipped: int = Field(default=0, description="VMs that did not allow it at their turn, or did not get a turn")


class BulkOperationItem(BulkShown):
    counts: BulkCounts


class BulkCluster(Contract):
    datacenter: DatacenterId = Field(examples=["dc-solna"])
    cluster: ClusterName = Field(examples=["vulcan"])
    total: int = Field(description="Number of its VMs in this cluster")
    counts: BulkCounts
    available: bool = Field(description="false: no watcher has the cluster at the moment, so its VMs wait")


class BulkOperationAnswer(BulkOperationItem):
    clusters: list[BulkCluster]


class BulkOperationPage(ListAnswer):
    items: list[BulkOperationItem] = Field(description="Newest first")
    next: str | None = Field(description="`cursor` of the next page; null on the last")


class BulkVm(Contract):
    """A VM that matches the filters."""

    id: Uid = Field(examples=["0b2f6f0e-5c0d-4b8e-9f63-0d1c8f1b2a77"])
    name: str = Field(examples=["erp-db-01"])
    namespace: str | None = Field(description="null for a VM that was added by hand", examples=["prod-finance"])
    cluster: ClusterName | None = Field(description="null for a VM that was added by hand", examples=["vulcan"])
    datacenter: DatacenterId = Field(examples=["dc-solna"])
    node_name: str | None = Field(description="null if it is on no node", examples=["worker-07.example.com"])
    status: VmStatus


class RefusedVm(BulkVm):
    reason: str = Field(description="Why it would be refused, for machines", examples=["notRunning"])
    detail: str = Field(description="The same for people")


class BulkPlan(Contract):
    """What a bulk operation would do."""

    action: Action = Field(examples=[Action.MIGRATE])
    parameters: dict[str, JsonValue] = Field(description="As they would be sent for each VM")
    filters: dict[str, JsonValue] = Field(description="The filters of the address", examples=[{"node": ["worker-07"]}])
    vms: list[BulkVm] = Field(description="VMs that it would act on")
    refused: list[RefusedVm] = Field(description="VMs that match as well, and would be refused")
    confirm: str | None = Field(
        description="Send it in the same request to have it done. It stands for the action, its parameters and exactly "
        "these VMs; null if there are none",
        examples=["0f6d1c9a2b33a1b2c3d4e5f60718293a"],
    )


class BulkPlanAnswer(BulkPlan, ListAnswer):
    """The same as an answer, with its own freshness."""
