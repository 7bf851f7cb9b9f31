"""Our own shapes: the contract's models, with age and freshness, which are only known when an answer is made."""

from pydantic import AwareDatetime, ConfigDict, Field, JsonValue

from summit_models.cluster import ClusterHealth
from summit_models.contract import ClusterName, Contract, DatacenterId, Revision
from summit_models.operation import Operation
from summit_models.vm import Vm


class VmItem(Vm):
    """A VM with all its members. Unknown ones are null."""

    observed_at: AwareDatetime = Field(description="When this state was observed in its cluster")
    revision: Revision = Field(description="Stream sequence of the event this state is from")
    age: str | None = Field(description="Time since its creation, as in kubectl", examples=["5d3h"])
    stale: bool = Field(
        description="Its state may be old: its cluster's last report is older than 90 s, or events wait to be applied"
    )


class OperationItem(Operation):
    observed_at: AwareDatetime = Field(description="When this step was made")
    revision: Revision = Field(description="Stream sequence of the step")


class VmAnswer(VmItem):
    """One VM, with what is being done to it."""

    operation: OperationItem | None = Field(
        default=None, description="The operation on it that has not ended; null in the past"
    )


class ListAnswer(Contract):
    """The members that every list has about its own freshness."""

    revision: Revision = Field(description="Last applied stream sequence")
    position: str = Field(description="`since` of a feed that continues after this list", examples=["41877-3f9a2c01"])
    as_of: AwareDatetime | None = Field(description="When that revision was applied; null before the first")


class PartialVmItem(VmItem):
    """The members that `fields` names, and `id`."""

    model_config = ConfigDict(json_schema_extra={"required": ["id"]})


class _Page(ListAnswer):
    next: str | None = Field(description="`cursor` of the next page; null on the last")
    count: int | None = Field(default=None, description="Number of VMs on all pages; only with `count=true`")


class VmPage(_Page):
    items: list[VmItem] = Field(description="In the order of `sort`")


class PartialVmPage(_Page):
    """The answer to a request with `fields`."""

    items: list[PartialVmItem] = Field(description="In the order of `sort`")


class Change(Contract):
    """One member that changed."""

    field: str = Field(description="Name of the member", examples=["nodeName"])
    from_: JsonValue = Field(alias="from", description="Value before the event", examples=["worker-07"])
    to: JsonValue = Field(description="Value after the event", examples=["worker-11"])


class HistoryItem(Contract):
    """One event of an object."""

    revision: Revision = Field(description="Stream sequence of the event")
    observed_at: AwareDatetime = Field(description="When it was observed in the cluster")
    type: str = Field(
        description="As in the event stream; 'observed': the state at that time, where nothing before it is kept",
        examples=["summit.vm.updated"],
    )
    cluster: str | None = Field(
        description="Cluster that showed it then; null for a cluster's own events", examples=["vulcan"]
    )
    by: str | None = Field(
        description="Who made the change, or asked for the operation; for a watched VM whom its cluster names. Null "
        "where that is not known",
        examples=["oidc:alice"],
    )
    changes: list[Change] = Field(description="Empty for the first event and for the last one")
    state: dict[str, JsonValue] | None = Field(
        description="The state that the history begins with, in the members of the events: in the first event that is "
        "known, and in each that creates the object. An operation on a VM is there with each of its states. Null in "
        "all others"
    )


class History(ListAnswer):
    items: list[HistoryItem] = Field(description="Newest first")
    next: str | None = Field(description="`cursor` of the next page; null on the last page")


class OperationPage(ListAnswer):
    items: list[OperationItem] = Field(description="In the order of `sort`")
    next: str | None = Field(description="`cursor` of the next page; null on the last")


class ClusterItem(ClusterHealth):
    """A cluster's connection as it is now, and whether the state of its VMs is stale.

    `state` is `stale` when no watcher reports any longer, although its last event has another state, and while events
    of all clusters wait to be applied.

    With a limit to namespaces, members that count or name what is in all of them are null. With a limit to datacenters,
    `duplicateOf` and the reason of a `config_error` are null: they may name a cluster elsewhere.
    """

    waiting_events: int | None = Field(  # type: ignore[assignment]  # a watcher always knows it
        default=0, description="Number of changes that were read and that NATS has not confirmed yet"
    )
    watched_since: AwareDatetime | None = Field(
        description="When `watcher` took it; null while nobody has it: then `watcher` is the one that had it last"
    )
    stale: bool = Field(description="The states of its VMs may be old; `reason` says why")
    lag_seconds: int | None = Field(description="Seconds since the last contact; null before the first")
    reported_at: AwareDatetime | None = Field(
        description="When a watcher last reported; null if this api has received no report"
    )


class ClusterList(ListAnswer):
    items: list[ClusterItem] = Field(description="By name")


class WatcherItem(Contract):
    """A watcher that runs."""

    id: str = Field(description="Host and process id; `watcher` of its clusters", examples=["watch-1/4711"])
    datacenters: list[DatacenterId] = Field(
        description="The datacenters that it is limited to by WATCHER_DATACENTERS; empty: it may watch all"
    )
    clusters: list[ClusterName] = Field(description="The clusters that it has, by name; empty: it is a spare")
    since: AwareDatetime = Field(description="When it has started")
    version: str = Field(description="Version of summit-connect", examples=["0.1.0"])


class WatcherList(ListAnswer):
    items: list[WatcherItem] = Field(description="Oldest first")


class Ticket(Contract):
    ticket: str = Field(description="Value of the parameter `ticket` of /api/v1/events", examples=["eyJuYW1l…"])
    expires_at: AwareDatetime = Field(description="Open the feed before this time. It can stay open for longer")
