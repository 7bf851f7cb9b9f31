"""What is known of a cluster's connection: the state of each watched resource and when it was last heard of."""

from enum import StrEnum

from pydantic import AwareDatetime, Field

from summit_models.contract import ClusterName, Contract, DatacenterId


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
    """Of a cluster only: some resources are synced, others are not."""
    RETIRED = "retired"
    """Of a cluster only: the configuration does not declare it any more, and no list shows it."""


class ResourceHealth(Contract):
    """State of the list-watch of one resource."""

    resource: str = Field(description="Plural name", examples=["virtualmachines"])
    state: ConnectionState
    since: AwareDatetime
    reason: str | None = Field(default=None, description="Why, in words; null when all is well")
    last_contact: AwareDatetime | None = Field(default=None, description="Last byte received")
    last_event: AwareDatetime | None = Field(default=None, description="Last change that a watch told")
    last_sync: AwareDatetime | None = Field(default=None, description="Last complete list")
    known_objects: int | None = Field(default=None, description="Objects known; null before the first complete list")
    resource_version: str | None = Field(
        default=None, description="The log holds every change up to it; a new watcher goes on from here"
    )


class ClusterHealth(Contract):
    """State of a cluster's connection. `last_contact` is fresh in the KV bucket only; events tell changes of state."""

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
    credentials_expire_at: AwareDatetime | None = Field(
        default=None, description="When the token or client certificate in use ends, where that is known"
    )
    waiting_events: int = Field(
        default=0, description="Changes that were read and are not known to be in the log yet: the lag of NATS"
    )
    last_contact: AwareDatetime | None = None
    resources: list[ResourceHealth] = Field(default=[])


class Heartbeat(ClusterHealth):
    """What the KV bucket holds of a cluster: its health some seconds ago."""

    epoch: int = Field(default=0, description="Of the watcher that wrote it")
