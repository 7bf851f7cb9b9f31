"""A running watcher, and its lease of a cluster: the entries of the KV bucket `summit-leases`."""

from typing import NamedTuple

from pydantic import AwareDatetime, Field

from summit_models.contract import ClusterName, Contract, DatacenterId


class Place(NamedTuple):
    """Where a cluster is declared. Its text is that of keys and subjects: neither part has a dot."""

    datacenter: DatacenterId
    cluster: ClusterName

    def __str__(self) -> str:
        return f"{self.datacenter}.{self.cluster}"

    @classmethod
    def of(cls, text: str) -> "Place":
        datacenter, _, cluster = text.partition(".")
        return cls(DatacenterId(datacenter), ClusterName(cluster))


class Holder(Contract):
    """The watcher that wrote an entry."""

    watcher: str = Field(description="Host and process id", examples=["watch-1/4711"])
    run: str = Field(description="Unique to one run: a container that restarts has the same host and process id")
    since: AwareDatetime


class Member(Holder):
    """A watcher that runs. `since` is when it has started."""

    version: str = ""
    datacenters: list[DatacenterId] = Field(default=[], description="WATCHER_DATACENTERS; empty: all")
    declared: list[str] = Field(default=[], description="The clusters that it may watch, `<datacenter>.<cluster>` each")
    unreadable: list[str] = Field(default=[], description="Those of them whose kubeconfig it cannot read")
    leaving: list[str] = Field(
        default=[], description="Clusters that its file has lost, until they are retired or another watcher has them"
    )


class Lease(Holder):
    """The right of a watcher to watch one cluster. `since` is when it has taken the cluster."""
