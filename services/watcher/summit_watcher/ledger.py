"""What the log says of one cluster: the last published state of each VM and migration.

It is the watcher's only memory, and the stream holds it: at start it is read back. An event is made only when a new
state differs from the one here (see `events`).
"""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar

from nats.aio.client import Client
from pydantic import ValidationError

from summit_models.contract import ClusterName, DatacenterId, Uid
from summit_models.event import MigrationEvent, MigrationEventType, VmEvent, VmEventType
from summit_models.migration import Migration
from summit_models.vm import Vm
from summit_runtime.consumer import StreamMessage, snapshot
from summit_runtime.publisher import Publisher
from summit_watcher.connection_errors import HistoryEndedError
from summit_watcher.epoch import Epoch, Fence, claim
from summit_watcher.resources import MIGRATIONS, VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES, Resource

VersionT = TypeVar("VersionT")


class Versions(NamedTuple):
    """`summit_models.event.ResourceVersions`, as they are kept ten thousand times."""

    vm: int
    vmi: int
    instancetype: int


class Published(NamedTuple, Generic[VersionT]):
    state: bytes
    """The normalized VM or migration as JSON, by `Contract.model_dump_json`: a kilobyte, where an object takes four."""
    version: VersionT
    at: datetime


@dataclass
class Ledger:
    datacenter: DatacenterId
    cluster: ClusterName
    _: KW_ONLY
    epoch: int = 0
    """Of the events that are made from it."""
    events: int = 0
    """How many have been made in this epoch."""
    history: int = 0
    """First epoch of the present history: versions of earlier ones compare with nothing and are forgotten."""
    fences: Sequence[Fence] = ()
    """Of the newest epochs. Behind what is void to readers stands what they know: it is told anew, or deleted."""
    newest_epoch: int = 0
    """Of the events that were read back."""
    reached: dict[str, int] = field(default_factory=dict)
    """By resource the newest resourceVersion of this history that the log shows."""
    vms: dict[Uid, Published[Versions]] = field(default_factory=dict)
    migrations: dict[Uid, Published[int]] = field(default_factory=dict)

    async def read(self, client: Client) -> None:
        """Read back from the stream what was published of this cluster."""
        for collection in ("vms", "migrations"):
            async for message in snapshot(client, f"summit.{collection}.{self.datacenter}.{self.cluster}.>"):
                self.remember(message)

    def remember(self, message: StreamMessage) -> None:
        """Take in one message of the log. One that this version cannot read is left out: its VM is published anew."""
        try:
            if message.subject.startswith("summit.vms."):
                self._remember_vm(VmEvent.model_validate_json(message.body), message.sequence)
            else:
                self._remember_migration(MigrationEvent.model_validate_json(message.body), message.sequence)
        except ValidationError:
            return

    def _is_void(self, event: VmEvent | MigrationEvent, revision: int) -> bool:
        return any(event.epoch < fence.epoch and revision > fence.revision for fence in self.fences)

    def _remember_vm(self, event: VmEvent, revision: int) -> None:
        vm = event.data
        if self._is_void(event, revision):
            self.vms[vm.id] = Published(_unlike_any(state_of(vm, Vm)), Versions(0, 0, 0), event.time)
            return
        self.newest_epoch = max(self.newest_epoch, event.epoch)
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

    def _remember_migration(self, event: MigrationEvent, revision: int) -> None:
        migration = event.data
        if self._is_void(event, revision):
            self.migrations[migration.id] = Published(_unlike_any(state_of(migration, Migration)), 0, event.time)
            return
        self.newest_epoch = max(self.newest_epoch, event.epoch)
        version = migration.resource_version if event.epoch >= self.history else 0
        self._reach(MIGRATIONS, version)
        if event.type is MigrationEventType.DELETED:
            self.migrations.pop(migration.id, None)
        else:
            self.migrations[migration.id] = Published(state_of(migration, Migration), version, event.time)

    def _reach(self, resource: Resource[Any], version: int) -> None:
        self.reached[resource.plural] = max(version, self.reached.get(resource.plural, 0))


async def begin(
    client: Client,
    publisher: Publisher,
    datacenter: DatacenterId,
    cluster: ClusterName,
    *,
    ended: HistoryEndedError | None = None,
) -> tuple[Epoch, Ledger]:
    """Begin an epoch, and read back what the log says: all that the earlier ones have published is in it."""
    # Else what a run before this one left in the queue came after our claim.
    await publisher.lane(datacenter, cluster).flush()
    epoch = await claim(client, datacenter, cluster, ended=ended)
    ledger = Ledger(datacenter, cluster, epoch=epoch.number, history=epoch.history, fences=epoch.fences)
    await ledger.read(client)
    if ledger.newest_epoch >= epoch.number:
        epoch = await claim(client, datacenter, cluster, above=ledger.newest_epoch)
        ledger.epoch = epoch.number
    return epoch, ledger


def _unlike_any(state: bytes) -> bytes:
    """The same JSON, and yet other bytes than those of any state that is made."""
    return b" " + state


def state_of(data: Vm | Migration, model: type[Vm | Migration]) -> bytes:
    """The part of an event's data that is the state, without what is said about the event."""
    return data.model_dump_json(include=model.model_fields.keys()).encode()  # type: ignore[arg-type]
