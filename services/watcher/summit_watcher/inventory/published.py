"""The state of one cluster that readers of the log know: the last valid state of each object.

It is the watcher's only memory, and the stream holds it: at start it is read back (`log.recovery`). An event is made
only when a new state differs from the one here (see `diff`).
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime
from typing import NamedTuple

from summit_models.codec import StateCodec
from summit_models.contract import ClusterName, DatacenterId, Uid
from summit_models.event import EpochStart, MigrationEvent, VmEvent
from summit_models.migration import Migration
from summit_models.vm import Vm
from summit_runtime.nats.streams.stream import MAX_EVENT_BYTES

VM_CODEC = StateCodec(Vm, VmEvent)
MIGRATION_CODEC = StateCodec(Migration, MigrationEvent)

Versions = tuple[int, ...]
"""The resourceVersions a state was made from. 0: none, or not a number."""


class PublishedState(NamedTuple):
    """The last state of one object."""

    state: bytes
    """The JSON of its model: a kilobyte, where an object takes four."""
    versions: Versions
    at: datetime
    """Time of the event."""
    is_known: bool = True
    """False: the log has it only in an event that readers ignore, of a stale epoch or of one that had not begun."""
    is_last: bool = True
    """False: the last event of the object is one that readers ignore, so this state is published again."""


@dataclass
class Published:
    datacenter: DatacenterId
    cluster: ClusterName
    _: KW_ONLY
    epoch: int = 0
    """The epoch of the events that are made now."""
    events: int = 0
    """How many have been made in this epoch."""
    history: int = 0
    """First epoch of the present history: resourceVersions of earlier ones compare with nothing and are dropped."""
    epoch_starts: Sequence[EpochStart] = ()
    """They show which events are of a stale epoch."""
    newest_epoch: int = 0
    """The newest epoch of the events that were read back, whether it had begun or not."""
    event_bytes: int = MAX_EVENT_BYTES
    """How large an event may be for NATS."""
    reached: dict[str, int] = field(default_factory=dict)
    """By resource the newest resourceVersion of this history that the log shows."""
    _states: defaultdict[str, dict[Uid, PublishedState]] = field(default_factory=lambda: defaultdict(dict))

    def of(self, collection: str) -> dict[Uid, PublishedState]:
        """The objects of a collection ("vms") that have not been deleted."""
        return self._states[collection]

    @property
    def has_stale_events(self) -> bool:
        """Whether the last event of some object is of a stale epoch."""
        return any(not state.is_last for states in self._states.values() for state in states.values())

    def reach(self, resource: str, version: int) -> None:
        self.reached[resource] = max(version, self.reached.get(resource, 0))

    def clear(self) -> None:
        self._states.clear()
        self.reached.clear()
