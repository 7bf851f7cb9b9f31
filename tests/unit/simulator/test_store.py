"""The simulator's store: one revision counter, immutable records, a window of history."""

import pytest

from summit_simulator.objects.resources import NODES, VIRTUALMACHINES
from summit_simulator.objects.store import Compacted, Store


def _vm(name: str, **labels: str) -> dict[str, object]:
    return {"metadata": {"name": name, "namespace": "prod", "uid": f"uid-{name}", "labels": labels}}


def test_every_write_has_the_next_revision() -> None:
    """One counter for all resources, as in etcd."""
    store = Store(first_revision=10)
    store.put(VIRTUALMACHINES, _vm("a"))
    store.put(NODES, {"metadata": {"name": "n", "uid": "n"}})
    store.delete(VIRTUALMACHINES, "prod", "a")
    assert [(change.revision, change.type) for change in store.journal] == [
        (11, "ADDED"),
        (12, "ADDED"),
        (13, "DELETED"),
    ]


def test_records_do_not_change_when_their_manifest_does() -> None:
    """A snapshot stays what it was."""
    store = Store()
    manifest = _vm("a")
    store.put(VIRTUALMACHINES, manifest)
    snapshot = store.records(VIRTUALMACHINES)
    store.put(VIRTUALMACHINES, _vm("a", x="y"))
    snapshot[0].manifest()["metadata"]["labels"]["z"] = "z"
    assert snapshot[0].manifest()["metadata"]["labels"] == {}


def test_forgotten_history_is_an_error_not_a_gap() -> None:
    """Below the window no reader gets half of it."""
    store = Store(history_events=3)
    for number in range(6):
        store.put(VIRTUALMACHINES, _vm("a", n=str(number)))
    oldest = store.oldest_of(VIRTUALMACHINES)
    assert len(store.events_after(VIRTUALMACHINES, oldest)) == 3
    with pytest.raises(Compacted):
        store.events_after(VIRTUALMACHINES, oldest - 1)
    store.forget_history()
    assert store.events_after(VIRTUALMACHINES, store.revision) == []
    with pytest.raises(Compacted):
        store.events_after(VIRTUALMACHINES, store.revision - 1)


def test_a_line_is_encoded_once_for_all_watchers() -> None:
    """The same bytes, not equal ones."""
    store = Store()
    store.put(VIRTUALMACHINES, _vm("a"))
    event = store.events_after(VIRTUALMACHINES, 0 + store.oldest)[0]
    assert event.line is event.line


def test_a_restore_continues_from_the_revision_of_the_backup() -> None:
    """The revision jumps back and is used a second time."""
    store = Store()
    store.put(VIRTUALMACHINES, _vm("a"))
    saved = store.save()
    store.put(VIRTUALMACHINES, _vm("b"))
    store.restore(saved)
    assert [record.name for record in store.records(VIRTUALMACHINES)] == ["a"]
    assert store.put(VIRTUALMACHINES, _vm("c")).revision == saved.revision + 1
