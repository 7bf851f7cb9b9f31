"""The state of a cluster's connection: of each watched resource, and when the cluster last answered."""

from collections.abc import Iterable
from enum import StrEnum

from pydantic import AwareDatetime, Field

from summit_models.contract import ClusterName, Contract, DatacenterId
from summit_models.operation import Action

STALE_AFTER_SECONDS = 90
"""A cluster without contact for so long is stale, and so are its VMs. Nine missed heartbeats: longer than a watcher
needs to take over, shorter than a person would wait to ask."""


class ConnectionState(StrEnum):
    """State of one list-watch, and of a cluster: that of all its list-watches, or degraded when they differ."""

    STARTING = "starting"
    LISTING = "listing"
    SYNCED = "synced"
    BACKOFF = "backoff"
    THROTTLED = "throttled"
    STALE = "stale"
    AUTH_FAILED = "auth_failed"
    FORBIDDEN = "forbidden"
    CRD_MISSING = "crd_missing"
    TLS_ERROR = "tls_error"
    UNREACHABLE = "unreachable"
    CONFIG_ERROR = "config_error"
    BACKPRESSURE = "backpressure"
    IDENTITY_CHANGED = "identity_changed"
    DEGRADED = "degraded"
    """Only for a cluster: some resources are synced, others are not."""
    RETIRED = "retired"
    """Only for a cluster: the configuration no longer declares it, and no list shows it."""


def is_about_declarations(states: Iterable[str]) -> bool:
    """Whether reasons of a cluster in these states, its own and those of its resources, are about datacenters.yaml.

    They may name clusters of other datacenters.
    """
    return ConnectionState.CONFIG_ERROR in states


class ResourceHealth(Contract):
    """State of the list-watch of one resource."""

    resource: str = Field(description="Plural name", examples=["virtualmachines"])
    state: ConnectionState
    since: AwareDatetime
    reason: str | None = Field(default=None, description="Why it is in this state; null when it is synced")
    last_contact: AwareDatetime | None = Field(default=None, description="When the last byte was received")
    last_event: AwareDatetime | None = Field(default=None, description="When a watch last reported a change")
    last_sync: AwareDatetime | None = Field(default=None, description="When the last complete list was received")
    known_objects: int | None = Field(
        default=None, description="Number of objects; null before the first complete list"
    )
    resource_version: str | None = Field(
        default=None, description="The log has every change up to this one; the next watcher resumes from it"
    )


class ClusterHealth(Contract):
    """State of a cluster's connection. Events report its changes; `last_contact` is fresh only in the KV bucket."""

    name: ClusterName
    datacenter: DatacenterId
    state: ConnectionState
    since: AwareDatetime
    reason: str | None = None
    server_version: str | None = Field(default=None, examples=["v1.34.1"])
    identity: str | None = Field(
        default=None,
        description="uid of the namespace kube-system; where that may not be read, `address-` and a digest of the "
        "server's address and certificate authority",
    )
    kubevirt_version: str | None = Field(default=None, examples=["v1.8.0"])
    duplicate_of: ClusterName | None = Field(
        default=None,
        description="Name of the cluster that is watched instead, because datacenters.yaml declares one cluster twice",
    )
    watcher: str | None = Field(
        default=None, description="Host and process id of the watcher that has it", examples=["watch-1/4711"]
    )
    clock_offset_seconds: int | None = Field(
        default=None,
        description="Seconds that the watcher's clock is ahead of that of NATS, negative behind; null while they agree "
        "within two seconds. The times in events and states are those of NATS",
    )
    credentials_expire_at: AwareDatetime | None = Field(
        default=None, description="When the token or client certificate in use expires, where that is known"
    )
    may: list[Action] | None = Field(
        default=None,
        description="Actions on VMs that the credentials allow in at least one namespace with VMs, by the "
        "cluster's own answers; null where that is not known. What is not in it is refused beforehand",
        examples=[[Action.START, Action.STOP]],
    )
    waiting_events: int = Field(
        default=0, description="Number of changes that were read and that NATS has not confirmed yet"
    )
    last_contact: AwareDatetime | None = Field(
        default=None,
        description="Up to when its VMs are known: last byte of their watch, or before, while changes wait for NATS",
    )
    resources: list[ResourceHealth] = Field(default=[])


class Heartbeat(ClusterHealth):
    """A cluster's entry in the KV bucket: its health some seconds ago."""

    epoch: int = Field(default=0, description="Epoch of the watcher that wrote it")
