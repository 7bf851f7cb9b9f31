"""Projecting: which rows, journal entries and dead letters a run of messages makes."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.published import (
    OBSERVED_AT,
    cluster_event,
    datacenter_event,
    message,
    messages,
    migration_event,
    operation_steps,
    unmanaged_event,
    vm_event,
)

from summit_models.cluster import ConnectionState
from summit_models.codec import encode
from summit_models.event import EPOCHS_OF_LOST_LOGS, MigrationEventType, VmEvent, VmEventType
from summit_models.subject import UNMANAGED, migration_subject
from summit_models.vm import VmStatus
from summit_projector.project import Batch, project
from summit_projector.projections import PROJECTIONS
from summit_runtime.nats.streams.consumer import StreamMessage


def rows_of(batch: Batch, table: str) -> list[dict[str, Any]]:
    columns = PROJECTIONS[table].columns
    return [dict(zip(columns, row, strict=True)) for row in batch.rows.get(table, [])]


def altered(event: VmEvent, **members: Any) -> StreamMessage:
    """The event under its subject, with members of its JSON replaced."""
    document = json.loads(event.model_dump_json()) | members
    return message(event)._replace(body=json.dumps(document).encode())


def test_row_has_the_state_and_where_it_is_from() -> None:
    """Fields of the model, time, epoch, resourceVersions and the sequence as revision."""
    event = vm_event("erp", versions=(7, 9), epoch=3, cpu=4, ips=["10.0.0.1"])
    (row,) = rows_of(project([message(event, 42)]), "vms")
    assert row | {"name": "erp", "cpu": 4, "ips": '["10.0.0.1"]', "labels": '{"app":"erp"}'} == row
    assert (row["epoch"], row["vm_version"], row["vmi_version"], row["revision"]) == (3, 7, 9, 42)
    assert (row["observed_at"], row["deleted_at"], row["ip"]) == (OBSERVED_AT, None, None)


def test_first_and_last_time_do_not_fail_every_list() -> None:
    """Postgres would keep them as infinities, and a list that has one was answered with 500, for all clusters."""
    first, last = (time.replace(tzinfo=UTC) for time in (datetime.min, datetime.max))  # noqa: DTZ901
    event = vm_event("erp", created_at=first, started_at=last, last_migrated_at=first + timedelta(seconds=1))
    (row,) = rows_of(project([message(event)]), "vms")
    assert (row["created_at"] - first, last - row["started_at"]) == (timedelta(microseconds=1),) * 2
    assert row["last_migrated_at"] == first + timedelta(seconds=1)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("memoryBytes", 2**63),
        ("cpu", -(2**63) - 1),
        ("resourceVersions", {"vm": 2**63}),
        ("createdAt", "0001-01-01T00:00:00+14:00"),
    ],
)
def test_value_that_no_column_holds_is_not_in_the_journal_either(member: str, value: Any) -> None:
    """A newer event of the same batch made the row, the journal kept the value, and `?at=` that time was a 500."""
    event = vm_event("erp", created_at=OBSERVED_AT)
    odd = altered(event, data=json.loads(event.model_dump_json())["data"] | {member: value})
    newer = message(vm_event("erp", versions=(2, 0)), odd.sequence + 1)
    batch = project([odd, newer])
    assert [entry.revision for entry in batch.journal] == [newer.sequence]
    assert [letter.revision for letter in batch.dead_letters] == [odd.sequence]


@pytest.mark.parametrize("collection", PROJECTIONS)
def test_values_stand_in_the_order_of_the_columns(collection: str) -> None:
    """Rows are copied by position, so fields, provenance and tombstone must follow the table."""
    projection = PROJECTIONS[collection]
    names = list(projection.columns)
    tombstone = [] if projection.deleted is None else ["deleted_at"]
    assert names[-len(projection.order_columns) - len(tombstone) - 1 :] == [
        "observed_at",
        *projection.order_columns,
        *tombstone,
    ]


def test_only_the_newest_state_of_an_object_becomes_a_row() -> None:
    """Three events of a VM are one row and three entries of the journal."""
    batch = project(messages(*(vm_event("erp", versions=(n, 0), cpu=n) for n in (1, 2, 3))))
    assert [(row["cpu"], row["revision"]) for row in rows_of(batch, "vms")] == [(3, 3)]
    assert [row.revision for row in batch.journal] == [1, 2, 3]


@pytest.mark.parametrize(
    ("newer", "older"),
    [
        (vm_event("a", epoch=2, versions=(1, 1)), vm_event("a", epoch=1, versions=(9, 9))),
        (vm_event("a", versions=(2, 1)), vm_event("a", versions=(1, 9))),
        (vm_event("a", versions=(2, 2)), vm_event("a", versions=(2, 1))),
    ],
    ids=["epoch", "VM's version", "instance's version"],
)
def test_older_state_that_comes_later_is_ignored(newer: VmEvent, older: VmEvent) -> None:
    """Epoch decides, then the VM's resourceVersion, then the instance's; only then the place in the stream."""
    assert [row["revision"] for row in rows_of(project(messages(newer, older)), "vms")] == [1]


def test_event_of_a_stale_epoch_is_ignored() -> None:
    """Its versions may be great: its watcher has lost the cluster. It is not in the journal either."""
    late = vm_event("a", epoch=1, versions=(9, 9))
    batch = project(messages(vm_event("a", epoch=1), cluster_event(epoch=2), late))
    assert [row["revision"] for row in rows_of(batch, "vms")] == [1]
    assert ([line.revision for line in batch.journal], batch.stale) == ([1, 2], 1)
    later = project(messages(late, vm_event("b", epoch=2), cluster_event("romulus"), start=4), batch.epochs)
    assert [row["name"] for row in rows_of(later, "vms")] == ["b"]
    assert [row["name"] for row in rows_of(later, "clusters")] == ["romulus"]


@pytest.mark.parametrize("epoch", [3, 1_000_000, 1_000_003, 2**62, -1])
def test_an_event_of_an_epoch_that_nobody_has_begun_freezes_nothing(epoch: int) -> None:
    """No event of a true epoch counted any more, and a rebuild found all right."""
    forged, true = vm_event("a", epoch=epoch, versions=(9, 9)), vm_event("a", epoch=2, versions=(2, 2), cpu=4)
    batch = project(messages(cluster_event(epoch=2), vm_event("a", epoch=2), forged, true))
    assert [(row["epoch"], row["cpu"]) for row in rows_of(batch, "vms")] == [(2, 4)]
    assert [(letter.revision, f"epoch {epoch}" in letter.reason) for letter in batch.dead_letters] == [(3, True)]
    assert [entry.revision for entry in batch.journal] == [1, 2, 4]


@pytest.mark.parametrize("known", [True, False], ids=["later", "first"])
def test_a_cluster_event_of_an_impossible_epoch_freezes_no_cluster(known: bool) -> None:
    """No watcher could have begun an epoch after it."""
    forged = cluster_event(state=ConnectionState.STARTING, epoch=2**63 - 1)
    before, true = [cluster_event(epoch=1)] if known else [], [cluster_event(epoch=2), vm_event("a", epoch=2)]
    batch = project(messages(*before, forged, *true))
    assert [row["epoch"] for table in ("clusters", "vms") for row in rows_of(batch, table)] == [2, 2]
    assert [letter.revision for letter in batch.dead_letters] == [len(before) + 1]


def test_the_epoch_after_any_that_counts_is_possible() -> None:
    """Whoever writes the greatest number that counts takes a cluster over, and the next watcher gets it back."""
    greatest = 1 + EPOCHS_OF_LOST_LOGS
    batch = project(messages(cluster_event(epoch=greatest), cluster_event(epoch=greatest + 1)))
    assert ([row["epoch"] for row in rows_of(batch, "clusters")], batch.dead_letters) == ([greatest + 1], [])


def test_event_from_before_a_later_epoch_began_is_not_stale() -> None:
    """After a rewind events are applied again that are from before the newest epoch in the tables."""
    known = project(messages(cluster_event(epoch=2), start=20)).epochs
    assert project(messages(vm_event("a", epoch=1), start=19), known).stale == 0
    assert project(messages(vm_event("a", epoch=1), start=21), known).stale == 1


def test_a_vm_that_returns_with_lower_versions_under_a_new_epoch_is_shown_again() -> None:
    """After etcd was restored, or when a cluster that was removed is added again."""
    gone = vm_event("a", VmEventType.DELETED, epoch=1, versions=(900, 0))
    batch = project(messages(gone, cluster_event(epoch=2), vm_event("a", VmEventType.CREATED, epoch=2)))
    assert [(row["epoch"], row["vm_version"], row["deleted_at"]) for row in rows_of(batch, "vms")] == [(2, 1, None)]


def test_same_versions_later_in_the_stream_win() -> None:
    """Something outside both versions, such as an instancetype, may change too."""
    batch = project(messages(vm_event("a", cpu=2), vm_event("a", cpu=4)))
    assert [row["cpu"] for row in rows_of(batch, "vms")] == [4]


def test_deleted_vm_leaves_a_tombstone_with_its_last_state() -> None:
    """A late older event finds the tombstone instead of nothing, and cannot bring the VM back."""
    gone = vm_event("a", VmEventType.DELETED, versions=(5, 4), cpu=2)
    late = vm_event("a", versions=(4, 4))
    (row,) = rows_of(project(messages(gone, late)), "vms")
    assert (row["deleted_at"], row["cpu"], row["revision"]) == (OBSERVED_AT, 2, 1)


def test_newer_state_revives_a_deleted_vm() -> None:
    """A wrong delete, or one that was undone, does not last."""
    batch = project(messages(vm_event("a", VmEventType.DELETED), vm_event("a", VmEventType.CREATED, versions=(2, 0))))
    assert [row["deleted_at"] for row in rows_of(batch, "vms")] == [None]


def test_repetition_of_a_vm_is_in_the_journal() -> None:
    """For a VM that has not changed for longer than the stream keeps events, it is the only entry."""
    batch = project([message(vm_event("a", VmEventType.OBSERVED))])
    assert len(rows_of(batch, "vms")) == 1
    assert [row.type for row in batch.journal] == [VmEventType.OBSERVED]


def test_journal_keeps_the_data_as_it_was_published() -> None:
    """It keeps members that this version does not know yet."""
    event = vm_event("a", VmEventType.CREATED)
    data = json.loads(event.data.model_dump_json()) | {"fromTheFuture": [1]}
    (line,) = project([altered(event, data=data)]).journal
    assert json.loads(line.data) == data
    assert (line.collection, line.key, line.type, line.time) == ("vms", event.data.id, "summit.vm.created", OBSERVED_AT)


def test_migration_that_kubevirt_removed_stays_with_its_outcome() -> None:
    """The history of migrations outlives KubeVirt's garbage collection."""
    batch = project(
        messages(
            migration_event("m", phase="Succeeded", completed=True),
            migration_event("m", MigrationEventType.DELETED, version=2, phase="Succeeded", completed=True),
        )
    )
    (row,) = rows_of(batch, "migrations")
    assert (row["phase"], row["completed"], row["deleted_at"]) == ("Succeeded", True, OBSERVED_AT)


def test_a_migration_without_a_namespace_is_a_row() -> None:
    """The watcher publishes it as it publishes such a VM; each of its changes was a dead letter."""
    event = migration_event("m", namespace="")
    subject = migration_subject(event.data.datacenter_id, event.data.cluster, UNMANAGED, "m")
    sent = message(migration_event("m"))._replace(subject=subject, body=encode(event))
    batch = project([sent])
    assert batch.dead_letters == []
    assert [row["name"] for row in rows_of(batch, "migrations")] == ["m"]


def test_clusters_and_datacenters_become_rows() -> None:
    """The last one in the stream wins; nested values are JSON under the contract's names."""
    health = {"resource": "virtualmachines", "state": "synced", "since": OBSERVED_AT}
    batch = project(
        messages(cluster_event(), cluster_event(resources=[health]), datacenter_event(coordinates=(59.36, 18.0)))
    )
    (cluster,) = rows_of(batch, "clusters")
    (datacenter,) = rows_of(batch, "datacenters")
    assert json.loads(cluster["resources"])[0]["lastContact"] is None
    assert datacenter["coordinates"] == "[59.36,18.0]"


def test_steps_of_operations_have_no_epoch() -> None:
    """The api makes them, too: those of a cluster whose watchers have begun epochs count all the same."""
    steps = operation_steps()
    batch = project(messages(cluster_event(epoch=3), *steps))
    assert (batch.stale, batch.dead_letters, len(batch.journal)) == (0, [], 1 + len(steps))
    (dead,) = project(messages(cluster_event(epoch=3), steps[0].model_copy(update={"epoch": 3}))).dead_letters
    assert "has none" in dead.reason


def test_collection_of_a_later_version_is_ignored() -> None:
    """Changes are additive: what this version does not know is neither a row nor a mistake."""
    batch = project([StreamMessage(5, "summit.moves.dc.vulcan.1", b'{"id": "x"}', 0)])
    assert (batch.rows, batch.dead_letters, batch.revision, batch.event_id) == ({}, [], 5, "x")


@pytest.mark.parametrize(
    ("poisoned", "reason"),
    [
        (message(vm_event("a"))._replace(body=b"{"), "EOF"),
        (message(vm_event("a"))._replace(body=b"\xff"), "body"),
        (message(vm_event("a"))._replace(subject="summit.vms.dc-solna.vulcan.prod.b"), "belongs under subject"),
        (altered(vm_event("a"), source="/datacenters/dc-solna/clusters/other"), "its source is"),
        (altered(vm_event("a"), type="summit.vm.renamed"), "type: Input should be"),
        (altered(vm_event("a"), data={"name": "a"}), "data.id: Field required"),
        (altered(vm_event("a"), extra="a\0b"), "U+0000"),
        (altered(vm_event("a"), time="9999-01-01T00:00:00Z"), "check the clock"),
        (altered(vm_event("a"), extra=float("nan")), "not JSON"),
    ],
    ids=["broken", "not text", "subject", "source", "unknown type", "incomplete", "NUL", "time", "NaN"],
)
def test_event_that_cannot_be_applied_is_a_dead_letter_with_the_reason(poisoned: StreamMessage, reason: str) -> None:
    """It is kept as it came, and the events around it are applied."""
    batch = project([message(vm_event("before"), 1), poisoned._replace(sequence=2), message(vm_event("after"), 3)])
    (kept,) = batch.dead_letters
    assert (kept.revision, kept.body) == (2, poisoned.body)
    assert reason in kept.reason
    assert {row["name"] for row in rows_of(batch, "vms")} == {"before", "after"}


def test_backslash_before_u0000_is_no_nul() -> None:
    r"""A label may say `\u0000` in words; only the escape itself cannot be stored."""
    batch = project([message(vm_event("a", labels={"words": "\\u0000"}))])
    assert batch.dead_letters == []


@given(
    st.binary() | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_no_body_stops_the_projector(body: bytes) -> None:
    """Whatever somebody publishes under a VM's subject, it becomes a dead letter."""
    batch = project([message(vm_event("a"), 1)._replace(body=body)])
    assert (len(batch.dead_letters), batch.rows, batch.journal) == (1, {}, [])


VM_EVENTS = st.builds(
    vm_event,
    st.sampled_from("ab"),
    st.sampled_from(VmEventType),
    versions=st.tuples(st.integers(1, 3), st.integers(0, 2)),
    epoch=st.integers(0, 1),
    time=st.integers(0, 100).map(lambda minutes: datetime(2026, 11, 1, tzinfo=UTC) + timedelta(minutes=minutes)),
    status=st.sampled_from(VmStatus),
)


@given(st.data(), st.lists(VM_EVENTS, min_size=1, max_size=12))
def test_any_order_and_duplication_ends_in_the_same_rows(data: st.DataObject, events: list[VmEvent]) -> None:
    """Messages keep their sequence when they come again or late, and the rows are the same."""
    in_order = messages(*events)
    shuffled = data.draw(
        st.lists(st.sampled_from(in_order)).map(lambda again: [*in_order, *again]).flatmap(st.permutations)
    )

    def rows(run: list[StreamMessage]) -> list[Any]:
        return sorted(project(run).rows["vms"])

    assert rows(shuffled) == rows(in_order)


def test_vm_added_by_hand_has_its_id_in_its_subject() -> None:
    """The text in its field `cluster` is no cluster of ours, and its source is the datacenter."""
    batch = project(messages(unmanaged_event("vm-001", name="My first VM", cluster="vulcan")))
    assert not batch.dead_letters
    assert len(batch.rows["vms"]) == 1


@pytest.mark.parametrize("header", ["", "x" * 9000, "00-1-2-01 7:7", "00-" + "a" * 32 + "-\0-01"])
def test_a_header_that_is_no_trace_costs_nothing(header: str) -> None:
    """Whoever may publish may write anything there: a notification of 9 000 bytes would fail with its commit."""
    batch = project([message(vm_event("a"))._replace(traceparent=header)])
    assert (batch.traces, batch.dead_letters, len(batch.journal)) == ([], [], 1)


def test_a_traced_event_is_known_by_its_revision() -> None:
    """The api, which reads the journal, has no headers."""
    context = f"00-{'a' * 32}-{'b' * 16}-01"
    traced = message(vm_event("b"), 8)._replace(traceparent=context)
    assert project([message(vm_event("a"), 7), traced]).traces == [(8, context)]
