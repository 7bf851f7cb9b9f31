"""Settings of the watcher from the environment, and its times, which are the same in each installation.

`main` passes the times down whole. No module below it has a time of its own, so a test chooses other times by value.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, NamedTuple

from pydantic import Field, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from summit_models.cluster import ConnectionState
from summit_runtime.backoff import INITIAL_SECONDS, MAX_SECONDS
from summit_runtime.nats.connection.bus import TIMES as NATS_TIMES
from summit_runtime.nats.connection.bus import NatsTimes
from summit_runtime.nats.streams.leases import LEASE_SECONDS
from summit_runtime.nats.streams.stream import MAX_AGE_SECONDS
from summit_runtime.nats.streams.unapplied import LATE_SECONDS
from summit_runtime.settings import ProcessSettings
from summit_runtime.watched_files import FileTimes


class WatcherSettings(ProcessSettings):
    model_config = SettingsConfigDict(env_prefix="WATCHER_")

    config: Path = Field(default=Path("config/datacenters.yaml"), description="Which clusters there are")
    datacenters: Annotated[frozenset[str], NoDecode] = Field(
        default=frozenset(), description="Watch these datacenters only, separated by commas; empty: all"
    )
    probe_host: str = Field(default="127.0.0.1", description="Address of /livez and /readyz")
    probe_port: int = Field(default=0, ge=0, le=65535, description="Port of /livez and /readyz; 0: none")

    @field_validator("datacenters", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return {part.strip() for part in value.split(",") if part.strip()} if isinstance(value, str) else value


class Retry(NamedTuple):
    """Shortest and longest pause between two attempts (see Backoff)."""

    initial_seconds: float
    max_seconds: float


RETRY = Retry(INITIAL_SECONDS, MAX_SECONDS)
ASK_AGAIN = Retry(0.2, 5)
"""For a request of an operation, for which somebody waits. Sixteen a minute do not hurt a sick API server."""
RETRIES: Mapping[ConnectionState, Retry] = MappingProxyType(
    {
        ConnectionState.AUTH_FAILED: Retry(5, 60),  # each attempt may run a credential plugin
        ConnectionState.CONFIG_ERROR: Retry(5, 60),
        ConnectionState.TLS_ERROR: Retry(5, 60),
        ConnectionState.FORBIDDEN: Retry(10, 60),
        ConnectionState.IDENTITY_CHANGED: Retry(10, 60),
        ConnectionState.CRD_MISSING: Retry(30, 300),  # no KubeVirt is a normal state of a cluster
    }
)
"""A person must act on these, so they are tried less often than what heals by itself."""


@dataclass(frozen=True, kw_only=True)
class WatcherTimes:
    """All times of the watcher, in seconds."""

    # The process

    flush_seconds: float = 3.0
    """How long a watcher that stops waits for its last events to be stored; the next start finds the others.

    `summit-connect` waits for four seconds in all."""

    nats: NatsTimes = NATS_TIMES

    files: FileTimes = field(default_factory=FileTimes)
    """Of datacenters.yaml, kubeconfigs and what they name."""

    # Connections

    connect_seconds: float = 5.0
    credentials_seconds: float = 30.0
    """Limit for reading the kubeconfig and for a credential plugin."""
    reload_seconds: float = 10.0
    """Refused or failing credentials are loaded again at most this often: six streams must not run a plugin each."""

    other_identities_seconds: float = 10.0
    """How long a new cluster waits until it is known which clusters are declared before it: one cluster that is
    declared twice must not be shown twice. Above the time for a connection; an unreachable one is known sooner."""

    # Lists and watches

    page_size: int = 500
    """Objects in a page of a list: a size, as it decides how long a page takes."""
    page_idle_seconds: float = 60.0
    page_total_seconds: float = 300.0
    """A page is 4 MB, but one unpaged list may be 90 MB over a slow link."""
    watch_seconds: tuple[int, int] = (240, 300)
    """A random time in between, after which the server ends a watch; kube-rs' numbers."""
    short_watch_seconds: float = 1.0
    """A watch that ends sooner was refused politely. Source: client-go, VeryShortWatchError."""
    lasting_watch_seconds: float = 10.0
    """A resourceVersion that expires before its watch has lasted so long does not get another list at once."""
    streaming_list_idle_seconds: float = 5.0
    """A streaming list that stands still for so long goes on in pages: a proxy may have dropped the bookmark that
    marks its end. An API server sends it within moments; client-go warns after 10 s."""
    avoid_streaming_seconds: float = 1800.0
    """How long lists come in pages after a streaming list has failed. The server may be upgraded meanwhile."""
    slow_page_seconds: float = 5.0
    """A page that takes longer does not count among those that are read at one time."""
    idle_seconds: float = 70.0
    """A watch without a byte is dead: bookmarks come every 60 s, and the server keeps 75 s of history (kopf #1268)."""
    relist_seconds: tuple[float, float] = (6 * 3600, 12 * 3600)
    """A list in between finds what no watch reported: a bug, or a restored etcd."""
    outage_seconds: float = 300.0
    """After so long without contact, ask whether the resourceVersions have gone backwards before resuming: a watch from
    the future is silent (etcd #16028)."""
    retry: Retry = RETRY
    retries: Mapping[ConnectionState, Retry] = field(default_factory=lambda: RETRIES)
    """By the state that a failure leads to, where it is not `retry`."""
    patience_seconds: float = 2.0
    """How long a watch waits for room in the event queue. A queue that is emptied more slowly than it is filled has
    room again and again; one that stands still has not."""

    first_lists_seconds: float = 15.0
    """How long the first VMs wait for a resource that completes them, such as instancetypes, once they are known: a
    webhook that is away makes its list fail for ever."""

    # The log

    log_state_seconds: float = 2.0
    """How long a state stands before it is logged: list-watches of a cluster notice an outage one after the other."""
    heartbeat_seconds: float = 10.0
    retry_health_seconds: float = 1.0
    """How soon the health is published again that NATS has not taken."""
    late_seconds: float = LATE_SECONDS
    """A change that NATS has not stored for so long holds its cluster back: people do not see it."""
    settle_states_seconds: float = 0.25
    """Five list-watches change state within moments of each other: one event for all."""
    checkpoint_seconds: float = 1.0
    """How often the positions are noted up to which the log is complete."""
    last_checkpoint_seconds: float = 1.0
    """How long the end of a session waits for its last events to be stored; the next session finds the others."""
    end_seconds: float = 2.0
    """How soon a cluster's task that does not end is cancelled again. Above the time for its last positions, and below
    the 3.5 s that a process has to stop."""
    lost_address_seconds: float = 10.0
    """An address that a running VM has lost counts after so long, and half as long again at most: a guest agent that
    restarts, or a migration, hides it for some seconds."""
    stuck_seconds: float = 600.0
    """A migration that has stood still for so long is stuck: twice the time that KubeVirt gives a target pod that no
    node takes. A copy has longer, by its memory."""
    stuck_check_seconds: float = 15.0
    observed_after: timedelta = timedelta(seconds=MAX_AGE_SECONDS / 3)
    """A state that the log has not repeated for so long is published again, well before it ages out."""
    observed_check_seconds: float = 3600.0
    resume_within: timedelta = timedelta(minutes=5)
    """etcd forgets older states, and the API server's window for watches is shorter still: asking would be in vain."""
    silent_seconds: float = 30.0
    """A cluster that is not declared here is retired after three missing heartbeats: its watcher may restart."""
    listen_seconds: float = 2.0
    """How soon to ask again whether it is silent and free, when NATS has not answered or a watcher has its lease."""
    undeclared_seconds: float = 10.0
    """All watchers read the same change of the file within this time: one that still has a cluster then is reported."""

    # Leases

    look_seconds: float = 1.0
    """How long new clusters wait for a look at their kubeconfigs. One on a file system that is away counts as one that
    can be read, until it is known."""
    lease_seconds: int = LEASE_SECONDS
    lease_renew_seconds: float = 1.0
    """Three attempts before a lease expires."""
    lease_answer_seconds: float = 1.5
    """For the answer to a renewal: it takes 0.4 s from far away, and 1.3 s beside a list. The next renewal finds out
    what has become of it, before the lease expires."""
    lease_grace_seconds: float = 3.0
    """How long a watcher that was cut off takes nothing that it did not have: all others were cut off, too, if NATS
    was away, and each renews its leases within a second of its return."""

    begun_at_once: int = 20
    """Clusters that begin, and clusters that are handed over, at one time: a number, as it decides how long that keeps
    a watcher from renewing its leases."""
    begin_seconds: float = 30.0
    """A cluster that has neither answered nor failed to for so long holds up no other one: its file system may be why.
    The time for credentials; less, and a machine that has too much to do gets even more."""
    begun_look_seconds: float = 0.1
    """How soon it is noticed that others may begin."""

    # Rights

    review_seconds: float = 600.0
    """How often it is reviewed what the credentials allow: rights are taken away seldom, and the cluster says so itself
    when something is asked for."""
    review_rest_seconds: float = 2.0
    """Between two reviews at least: a hundred operations that are refused are one reason to look, not a hundred."""
    granted_seconds: float = 60.0
    """How soon it is noticed that a missing right was granted: somebody has just applied it and tries again."""
    review_pause_seconds: float = 0.1
    """Between two namespaces: hundreds of questions at once would be in the way of the watches."""

    # Operations

    claim_seconds: float = 5.0
    """A request goes out within this time of a stored step of its watcher, or another step is stored first. Another
    watcher takes over what is not accepted after this time: until then the request may still go out."""
    take_over_seconds: float = 15.0
    """How long a watcher that appears beside us keeps an operation without a step. Above the time in which one that has
    lost the cluster learns it, with its next heartbeat."""
    leave_seconds: float = 0.5
    """How long a watcher that stops waits for the answer to a request, or nobody would know what it was.
    Together with `last_checkpoint_seconds` below `end_seconds`."""
    progress_seconds: float = 1.0
    """Progress is published at most this often: people read it, and each is an event of a year."""
    ask_again: Retry = ASK_AGAIN
    migration_end_seconds: float = 2.0
    """How long the reason and the nodes of a migration are waited for after its final phase."""
    unseen_seconds: float = 5.0
    """How often the API server is asked for a migration that it has accepted, and no watch shows."""
    overdue_seconds: float = 30.0
    """How long after its deadline an operation is ended by any watcher: its own has not done so, and may be gone."""
    overdue_check_seconds: float = 2.0

    def retry_of(self, state: ConnectionState) -> Retry:
        """How soon to try again after a failure that leads to this state."""
        return self.retries.get(state, self.retry)


TIMES = WatcherTimes()
