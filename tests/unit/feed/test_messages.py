"""An entry of the journal as a message: which clients get which message, and what it contains."""

import json
from datetime import UTC, datetime

from support.api_stack import placed_vm
from support.published import datacenter_event, migration_event, vm_event

from summit_api.access.principal import EVERYTHING, Scope
from summit_api.feed.frame import Frame, Topic
from summit_api.feed.messages import frame_of
from summit_api.feed.selection import Selection
from summit_api.query.journal import Entry
from summit_api.query.selection.filters import VmFilters
from summit_api.query.transaction.position import Position
from summit_api.render.moment import Moment
from summit_models.codec import encode
from summit_models.contract import Revision
from summit_models.event import Event, MigrationEventType, VmEventType
from summit_models.subject import subject_of
from summit_models.vm import VmStatus

MOMENT = Moment(datetime(2026, 11, 23, 12, tzinfo=UTC), frozenset({"vulcan"}))
ALL = Selection(EVERYTHING, VmFilters())
RUNNING = Selection(EVERYTHING, VmFilters(status=[VmStatus.RUNNING]))


def sent(event: Event, selection: Selection = ALL) -> dict[str, object] | None:
    """The message that a client gets for an event, without its time; None for none."""
    text = selection.message(frame(event))
    if text is None:
        return None
    message = json.loads(text.decode().split("data: ", 1)[1])
    assert list(message) == ["payload", "timestamp", "type"]
    return {name: message[name] for name in ("type", "payload")}


def frame(event: Event) -> Frame:
    """The frame that an event of revision 7 makes."""
    made = frame_of(entry(event), MOMENT, Position(Revision(7), "e4a"))
    assert made is not None
    return made


def entry(event: Event) -> Entry:
    """The entry of the journal that an event of revision 7 makes."""
    collection = subject_of(event).split(".")[1]
    data = json.loads(encode(event))["data"]
    return Entry(Revision(7), collection, data["id"], event.type, event.time, data)


def types(event: Event, *selections: Selection) -> list[object]:
    """The type that each client gets."""
    return [message and message["type"] for message in (sent(event, selection) for selection in selections)]


def test_change_of_status_enters_and_leaves_a_filtered_list() -> None:
    """A list of running VMs gains and loses VMs although none is created or deleted."""
    stopped = vm_event("a", status=VmStatus.STOPPED, changes={"status": "running"})
    started = vm_event("a", status=VmStatus.RUNNING, changes={"status": "stopped"})
    moved = vm_event("a", status=VmStatus.RUNNING, changes={"nodeName": "node-1"})
    never = vm_event("a", status=VmStatus.ERROR, changes={"status": "stopped"})
    assert types(stopped, ALL, RUNNING) == ["vm:updated", "vm:removed"]
    assert types(started, ALL, RUNNING) == ["vm:updated", "vm:added"]
    assert types(moved, ALL, RUNNING) == ["vm:updated", "vm:updated"]
    assert types(never, ALL, RUNNING) == ["vm:updated", None]
    left = sent(stopped, RUNNING)
    assert left is not None
    assert left["payload"] == {
        "datacenter": "dc-solna",
        "vmName": "a",
        "vmId": stopped.data.id,
        "cluster": "vulcan",
        "namespace": "prod",
        "deleted": False,
        "finalStateUnknown": False,
    }


def test_creation_and_deletion_concern_only_lists_that_show_the_vm() -> None:
    """Whether a deleted VM was in the list depends on its last state."""
    created = vm_event("a", VmEventType.CREATED, status=VmStatus.STOPPED)
    deleted = vm_event("a", VmEventType.DELETED, status=VmStatus.STOPPED, final_state_unknown=True)
    assert types(created, ALL, RUNNING) == ["vm:added", None]
    assert types(deleted, ALL, RUNNING) == ["vm:removed", None]


def test_repeated_state_is_no_change() -> None:
    """`observed` keeps a state in the log; no list changes."""
    assert frame_of(entry(vm_event("a", VmEventType.OBSERVED)), MOMENT, Position(Revision(7), "e4a")) is None


def test_vm_that_moves_out_of_the_scope_is_removed_at_its_old_place() -> None:
    """The message does not say where the VM went, and clients at its new place do not see where it was."""
    solna = Selection(Scope(datacenters=frozenset({"dc-solna"})), VmFilters())
    uppsala = Selection(Scope(datacenters=frozenset({"dc-uppsala"})), VmFilters())
    moved = placed_vm("a", datacenter="dc-uppsala", changes={"datacenter": "dc-solna"})
    assert types(moved, ALL, solna, uppsala) == ["vm:updated", "vm:removed", "vm:added"]
    assert "dc-uppsala" not in str(sent(moved, solna))
    assert "dc-solna" not in str(sent(moved, uppsala))
    assert "'changes': {'datacenter': 'dc-solna'}" in str(sent(moved))


def test_migrations_follow_their_place_and_no_status() -> None:
    """A filter by status applies to VMs only."""
    created = migration_event("m", MigrationEventType.CREATED)
    elsewhere = Selection(EVERYTHING, VmFilters(namespace=["test"]))
    assert types(created, ALL, RUNNING, elsewhere) == ["migration:added", "migration:added", None]
    message = sent(migration_event("m", MigrationEventType.DELETED))
    assert message is not None
    assert message["type"] == "migration:removed"
    assert message["payload"]["migrationName"] == "m"  # type: ignore[index]


def test_datacenter_is_sent_under_the_plural_that_the_original_page_knows() -> None:
    """Its page reloads at `datacenters:updated`."""
    message = sent(datacenter_event(name="Solna", coordinates=(59.36, 18.0)))
    assert message == {
        "type": "datacenters:updated",
        "payload": {
            "datacenter": "dc-solna",
            "name": "Solna",
            "location": None,
            "coordinates": [59.36, 18.0],
            "clusters": [],
        },
    }
    gone = sent(datacenter_event(name="Solna", retired=True)) or {}
    assert gone["payload"]["retired"] is True  # type: ignore[index]


def test_topics_select() -> None:
    """`types=migration` receives nothing else."""
    migrations = Selection(EVERYTHING, VmFilters(), frozenset({Topic.MIGRATION}))
    assert types(vm_event("a"), migrations) == [None]
    assert types(migration_event("m"), migrations) == ["migration:updated"]


def test_message_is_one_line_with_its_position() -> None:
    """A line break in a label would end the message."""
    text = ALL.message(frame(vm_event("a", labels={"note": "a\nb\r\u2028c"})))
    assert text is not None
    assert text.startswith(b"id: 7-e4a\ndata: {")
    assert text.endswith(b'"type":"vm:updated"}\n\n')
    assert text.count(b"\n") == 3
    assert b"\r" not in text
