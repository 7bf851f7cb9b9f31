"""What readers of the log know of one cluster: the last valid state of each VM and migration.

It is the watcher's only memory, and the stream holds it: at start it is read back. An event is made only when a new
state differs from the one here (see `events`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime
from enum import Enum, auto
from itertools import chain
from typing import Any, Generic, NamedTuple, TypeVar

from nats.aio.client import Client
from pydantic import ValidationError

from summit_models.contract import ClusterName, DatacenterId, Uid
from summit_models.epoch import EpochStart, is_stale_epoch
from summit_models.event import MigrationEvent, MigrationEventType, VmEvent, VmEventType
from summit_models.migration import Migration
from summit_models.vm import Vm
from summit_runtime.nats.consumer import StreamMessage, last_per_subject, replay
from summit_runtime.nats.publisher import Publisher
from summit_watcher.kube.errors import HistoryEndedError
from summit_watcher.kube.resources import MIGRATIONS, VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES, Resource
from summit_watcher.log.epoch import Epoch, beginnings, claim

VersionT = TypeVar("VersionT")


class Versions(NamedTuple):
    """`summit_models.event.ResourceVersions`, as they are kept ten thousand times."""

    vm: int
    vmi: int
    instancetype: int


class Doubt(Enum):
    """Why an object is told again though it may not have changed: its last word in the log is void."""

    IGNORED = auto()
    """Readers know it by an earlier word."""
    UNKNOWN = auto()
    """Readers do not know it at all."""


class Published(NamedTuple, Generic[VersionT]):
    state: bytes
    """The normalized VM or migration as JSON, by `Contract.model_dump_json`: a kilobyte, where an object takes four."""
    version: VersionT
    at: datetime
    doubt: Doubt | None = None


@dataclass
class PublishedState:
    datacenter: DatacenterId
    cluster: ClusterName
    _: KW_ONLY
    epoch: int = 0
    """Of the events that are made from it."""
    events: int = 0
    """How many have been made in this epoch."""
    history: int = 0
    """First epoch of the present history: versions of earlier ones compare with nothing and are forgotten."""
    fences: Sequence[EpochStart] = ()
    """By which an event is void."""
    newest_epoch: int = 0
    """Of the events that were read back."""
    reached: dict[str, int] = field(default_factory=dict)
    """By resource the newest resourceVersion of this history that the log shows."""
    vms: dict[Uid, Published[Versions]] = field(default_factory=dict)
    migrations: dict[Uid, Published[int]] = field(default_factory=dict)

    async def read(self, client: Client) -> None:
        """Read back from the stream what readers know of this cluster.

        The last event of each subject says it. Where that one is void, what counts stands somewhere before it: then the
        whole log is read, which takes long and happens seldom.
        """
        void = set[int]()
        for subjects in self._subjects():
            async for message in last_per_subject(client, subjects):
                if not self.remember(message):
                    void.add(message.sequence)
        if void:
            self.fences = await beginnings(client, self.datacenter, self.cluster)
            await self._read_in_order(client, last_words=void)

    async def _read_in_order(self, client: Client, *, last_words: set[int]) -> None:
        for memory in (self.vms, self.migrations, self.reached):
            memory.clear()
        for subjects in self._subjects():
            async for message in replay(client, subjects):
                if not self.remember(message) and message.sequence in last_words:
                    self._doubt(message)

    def _subjects(self) -> list[str]:
        return [f"summit.{collection}.{self.datacenter}.{self.cluster}.>" for collection in ("vms", "migrations")]

    @property
    def has_doubts(self) -> bool:
        """Something void still is the last word on an object."""
        everything: Iterable[Published[Any]] = chain(self.vms.values(), self.migrations.values())
        return any(published.doubt for published in everything)

    def remember(self, message: StreamMessage) -> bool:
        """Take in one message of the log, unless it is void; tell whether it was valid.

        One that this version cannot read is left out: its VM is published anew.
        """
        event = _event(message)
        if event is None:
            return True
        if is_stale_epoch(event.epoch, message.sequence, self.fences):
            return False
        self.newest_epoch = max(self.newest_epoch, event.epoch)
        if isinstance(event, VmEvent):
            self._remember_vm(event)
        else:
            self._remember_migration(event)
        return True

    def _remember_vm(self, event: VmEvent) -> None:
        vm = event.data
        made_from = vm.resource_versions
        versions = Versions(made_from.vm, made_from.vmi, made_from.instancetype)
        if event.epoch < self.history:
            versions = Versions(0, 0, 0)
        self._reach(VIRTUAL_MACHINES, versions.vm)
        self._reach(VIRTUAL_MACHINE_INSTANCES, versions.vmi)
        if event.type is VmEventType.DELETED:
            self.vms.pop(vm.id, None)
        else:
            self.vms[vm.id] = Published(state_of(vm, Vm), versions, event.time)

    def _remember_migration(self, event: MigrationEvent) -> None:
        migration = event.data
        version = migration.resource_version if event.epoch >= self.history else 0
        self._reach(MIGRATIONS, version)
        if event.type is MigrationEventType.DELETED:
            self.migrations.pop(migration.id, None)
        else:
            self.migrations[migration.id] = Published(state_of(migration, Migration), version, event.time)

    def _doubt(self, message: StreamMessage) -> None:
        """Note that the last word on an object is void: it is told anew, or deleted."""
        event = _event(message)
        if isinstance(event, VmEvent):
            vm = event.data
            unknown = Published(state_of(vm, Vm), Versions(0, 0, 0), event.time, Doubt.UNKNOWN)
            self.vms[vm.id] = _doubted(self.vms.get(vm.id), unknown)
        elif event is not None:
            migration = event.data
            other = Published(state_of(migration, Migration), 0, event.time, Doubt.UNKNOWN)
            self.migrations[migration.id] = _doubted(self.migrations.get(migration.id), other)

    def _reach(self, resource: Resource[Any], version: int) -> None:
        self.reached[resource.plural] = max(version, self.reached.get(resource.plural, 0))


async def begin(
    client: Client,
    publisher: Publisher,
    datacenter: DatacenterId,
    cluster: ClusterName,
    *,
    ended: HistoryEndedError | None = None,
) -> tuple[Epoch, PublishedState]:
    """Begin an epoch, and read back what the log says: all that the earlier ones have published is in it."""
    # Else what a run before this one left in the queue came after our claim.
    await publisher.cluster_queue(datacenter, cluster).flush()
    above = 0
    while True:
        epoch = await claim(client, datacenter, cluster, above=above, ended=ended)
        published_state = PublishedState(
            datacenter, cluster, epoch=epoch.number, history=epoch.history, fences=epoch.fences
        )
        await published_state.read(client)
        if published_state.newest_epoch < epoch.number:
            return epoch, published_state
        above = (
            published_state.newest_epoch
        )  # the log has lost the cluster's own events, or they are somebody else's words


def _event(message: StreamMessage) -> VmEvent | MigrationEvent | None:
    try:
        if message.subject.startswith("summit.vms."):
            return VmEvent.model_validate_json(message.body)
        return MigrationEvent.model_validate_json(message.body)
    except ValidationError:
        return None


def _doubted(known: Published[VersionT] | None, unknown: Published[VersionT]) -> Published[VersionT]:
    return unknown if known is None else known._replace(doubt=Doubt.IGNORED)


def state_of(data: Vm | Migration, model: type[Vm | Migration]) -> bytes:
    """The part of an event's data that is the state, without what is said about the event."""
    return data.model_dump_json(include=model.model_fields.keys()).encode()  # type: ignore[arg-type]
