"""A watcher in this process between simulated clusters and a real log, and the log as a reader sees it."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from nats.aio.client import Client
from pydantic import SecretStr
from support import oracle
from support.projecting import publisher
from support.roles import as_role
from support.waiting import until

from summit_models.cluster import ClusterHealth, ConnectionState
from summit_models.subject import HEALTH_BUCKET
from summit_runtime.nats.connection.clock import Clock
from summit_runtime.nats.rights import Role
from summit_runtime.nats.streams.consumer import StreamMessage, consume
from summit_runtime.nats.streams.leases import LeaseTable
from summit_runtime.waiting import end
from summit_runtime.watched_files import FileTimes
from summit_simulator.cluster import SimulatedCluster
from summit_watcher.main import watch
from summit_watcher.settings import TIMES, Retry, WatcherSettings, WatcherTimes

DATACENTER = "dc-solna"
SOON = Retry(0.02, 0.1)
QUICK = WatcherTimes(
    page_size=3,
    page_idle_seconds=1,
    page_total_seconds=5,
    idle_seconds=1,
    short_watch_seconds=0.2,
    log_state_seconds=0.05,
    retry=SOON,
    retries=dict.fromkeys(ConnectionState, SOON),
)
"""A list-watch that notices trouble within a second, and tries again at once."""

EDITED = WatcherTimes(files=FileTimes(look_seconds=0.05, settle_seconds=0.05), heartbeat_seconds=0.2)
"""A watcher that sees edits of its file at once."""


async def has_lease() -> bool:
    """For a cluster that no other watcher wants."""
    return True


def lists(cluster: SimulatedCluster, plural: str = "virtualmachines") -> int:
    """How many lists were requested, streaming or paged. A list in pages counts once, a verification does not."""
    paged = cluster.requests_for(plural, verb="list")
    whole = [request for request in paged if "continue" not in request.query and request.query.get("limit") != "1"]
    return len(whole) + sum("sendInitialEvents" in r.query for r in cluster.requests_for(plural, verb="watch"))


def write_kubeconfigs(clusters: Iterable[SimulatedCluster], directory: Path) -> Mapping[str, Path]:
    """A kubeconfig of each cluster, by its name."""
    return {cluster.name: cluster.write_kubeconfig(directory / cluster.name) for cluster in clusters}


def configure(directory: Path, clusters: Mapping[str, Path], *, datacenter: str = DATACENTER) -> Path:
    """Write datacenters.yaml: one datacenter with these clusters, by name the kubeconfig of each."""
    lines = ["datacenters:", f"  - id: {datacenter}", "    clusters:" + ("" if clusters else " []")]
    for name, kubeconfig in clusters.items():
        lines += [f"      - name: {name}", f"        kubeconfig: {kubeconfig}"]
    config = directory / "datacenters.yaml"
    config.write_text("\n".join(lines) + "\n")
    return config


@asynccontextmanager
async def watching(
    nats_url: str, config: Path, times: WatcherTimes = TIMES, *, clock: Clock | None = None, **settings: object
) -> AsyncIterator[asyncio.Task[None]]:
    """Run a watcher for the length of the block, and stop it as SIGTERM would."""
    stop = asyncio.Event()
    url = SecretStr(as_role(nats_url, Role.WATCHER))
    chosen = WatcherSettings.model_validate({"NATS_URL": url, "config": config, **settings})
    task = asyncio.create_task(watch(chosen, stop, times, clock))
    try:
        yield task
    finally:
        stop.set()
        async with asyncio.timeout(10):
            await task


class Log:
    """The whole log, read as it grows."""

    def __init__(self) -> None:
        self.messages: list[StreamMessage] = []

    async def follow(self, client: Client) -> None:
        async with consume(client, after=0) as consumer:
            while True:
                self.messages += await consumer.next_batch()

    def differences(self, cluster: SimulatedCluster, *, datacenter: str = DATACENTER) -> Sequence[str]:
        """The differences between the log and the cluster's own state, as sentences."""
        source = f"/datacenters/{datacenter}/clusters/{cluster.name}"
        truth = cluster.truth()
        replay = oracle.replay(self.messages)
        expected = oracle.expected_vms(truth, cluster=cluster.name, datacenter=datacenter)
        return [*replay.violations, *replay.returned, *oracle.compare(expected, replay.living, source=source)]

    async def lives(self, *clusters: SimulatedCluster, datacenter: str = DATACENTER) -> None:
        """Wait until the log shows the present state of these clusters; a retired VM may have returned."""

        def wrong() -> list[str]:
            shown = oracle.replay(self.messages).living
            return [
                sentence
                for cluster in clusters
                for sentence in oracle.compare(
                    oracle.expected_vms(cluster.truth(), cluster=cluster.name, datacenter=datacenter),
                    shown,
                    source=f"/datacenters/{datacenter}/clusters/{cluster.name}",
                )
            ]

        await until(wrong, lambda sentences: not sentences)

    async def agrees(self, *clusters: SimulatedCluster) -> None:
        """Wait until the log agrees with these clusters in everything."""
        await until(
            lambda: [sentence for cluster in clusters for sentence in self.differences(cluster)],
            lambda sentences: not sentences,
        )

    def epoch(self, cluster: str, *, datacenter: str = DATACENTER) -> int:
        """The newest epoch of a cluster, by its own events."""
        subject = f"summit.clusters.{datacenter}.{cluster}"
        return max((json.loads(m.body)["epoch"] for m in self.messages if m.subject == subject), default=0)

    def epoch_starts(self, cluster: str, *, datacenter: str = DATACENTER) -> list[int]:
        """The epochs whose starts the newest event of a cluster has."""
        newest = next(m for m in reversed(self.messages) if m.subject == f"summit.clusters.{datacenter}.{cluster}")
        return [start["epoch"] for start in json.loads(newest.body)["fences"]]

    def states(self, cluster: str, datacenter: str = DATACENTER) -> list[str]:
        """The states of a cluster, by its own events."""
        subject = f"summit.clusters.{datacenter}.{cluster}"
        return [json.loads(m.body)["data"]["state"] for m in self.messages if m.subject == subject]

    def newest(self, name: str) -> bytes:
        """The last event of the VM of that name; nothing before the first."""
        vms = (m for m in reversed(self.messages) if m.subject.startswith("summit.vms."))
        return next((m.body for m in vms if m.subject.endswith(f".{name}")), b"")

    def events(self, collection: str) -> list[oracle.LoggedEvent]:
        """The events of `vms` or `migrations`."""
        return list(oracle.events_of(self.messages, collection))

    def deletes(self, collection: str) -> int:
        return sum(event.verb == "deleted" for event in self.events(collection))


class Healths:
    """The newest health of each cluster, as the api receives it."""

    def __init__(self) -> None:
        self.newest: dict[str, ClusterHealth] = {}

    async def follow(self, client: Client) -> None:
        subjects = f"$KV.{HEALTH_BUCKET}.>"
        async with consume(client, after=None, filter_subject=subjects, stream=f"KV_{HEALTH_BUCKET}") as consumer:
            while True:
                for message in await consumer.next_batch():
                    name = message.subject.rpartition(".")[2]
                    if message.body:
                        self.newest[name] = ClusterHealth.model_validate_json(message.body)
                    else:
                        self.newest.pop(name, None)

    def state(self, cluster: str, resource: str | None = None) -> str | None:
        """The state of the cluster, or of one of its list-watches; None before the first heartbeat."""
        health = self.newest.get(cluster)
        if health is None or resource is None:
            return health and health.state
        return next(r.state for r in health.resources if r.resource == resource)

    def position(self, cluster: str, resource: str) -> str | None:
        """The resourceVersion up to which the log is complete, as stored by the watcher."""
        health = self.newest.get(cluster)
        return next(r.resource_version for r in health.resources if r.resource == resource) if health else None


@asynccontextmanager
async def observing(nats_url: str) -> AsyncIterator[tuple[Log, Healths]]:
    """Follow the log and the healths while the block runs."""
    async with publisher(nats_url) as client:
        log, healths = Log(), Healths()
        async with asyncio.TaskGroup() as tasks:
            following = [tasks.create_task(each.follow(client)) for each in (log, healths)]
            yield log, healths
            for task in following:
                task.cancel()


@asynccontextmanager
async def shown_leases(nats_url: str) -> AsyncIterator[LeaseTable]:
    """Follow the leases while the block runs."""
    table = LeaseTable()
    async with publisher(nats_url) as client:
        following = asyncio.create_task(table.follow(client))
        try:
            yield table
        finally:
            await end(following)
