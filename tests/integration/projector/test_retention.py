"""Months of history are dropped when the operator asks for it, and the rest still shows how everything was."""

from datetime import UTC, datetime, timedelta

from pydantic import SecretStr
from support.api_stack import STREAM_CREATED_AT, api_stack
from support.published import cluster_event, datacenter_event, migration_event, vm_event

from summit_models.event import MigrationEventType, VmEventType
from summit_projector.settings import TIMES
from summit_projector.tables.partitions import drop_months, month_before
from summit_projector.tables.writer import open_writer

NOW = datetime.now(UTC)
LONG_AGO, SINCE = NOW - timedelta(days=200), month_before(NOW, 2).begin
"""The months of the two are apart, whatever the day."""


async def test_states_at_the_end_of_the_dropped_months_are_carried_over(database_url: str) -> None:
    """So is the state of a VM that has not changed, changed since or ended since, but not of one that ended before."""
    ended = {"type_": VmEventType.DELETED, "versions": (2, 0)}
    async with api_stack(database_url) as stack:
        stack.now = NOW
        await stack.apply(
            *(vm_event(name, time=LONG_AGO, memory=1) for name in ("same", "changed", "ended", "gone")),
            vm_event("gone", time=LONG_AGO + timedelta(days=1), **ended),
            vm_event("same", VmEventType.OBSERVED, time=NOW, memory=1),
            vm_event("changed", time=NOW - timedelta(hours=1), versions=(2, 0), memory=2),
            vm_event("ended", time=NOW - timedelta(hours=1), **ended),
        )
        async with stack.database() as database:
            dropped = await drop_months(database, months=2, now=NOW)
            assert dropped
            assert all(month.begin < SINCE for month in dropped)
            assert await drop_months(database, months=2, now=NOW) == []

        early = await stack.http.get("/api/v1/vms", params={"at": (SINCE - timedelta(seconds=1)).isoformat()})
        assert early.status_code == 410
        then = await stack.get("/api/v1/vms", at=SINCE.isoformat())
        assert [(vm["name"], vm["memory"]) for vm in then["items"]] == [("changed", 1), ("ended", 1), ("same", 1)]
        now = await stack.get("/api/v1/vms", at=NOW.isoformat())
        assert [(vm["name"], vm["memory"]) for vm in now["items"]] == [("changed", 2), ("same", 1)]
        *_, first = (await stack.get(f"/api/v1/vms/{vm_event('same').data.id}/events"))["items"]
        assert (first["type"], first["changes"]) == ("summit.vm.observed", [])


async def test_every_collection_keeps_its_last_state(database_url: str) -> None:
    """A migration that has ended and is gone has no state to keep; its row stays."""
    async with api_stack(database_url) as stack:
        await stack.apply(
            *(event.model_copy(update={"time": LONG_AGO}) for event in (datacenter_event(), cluster_event())),
            migration_event("running", time=LONG_AGO, changes={"phase": "Pending"}),
            migration_event("gone", MigrationEventType.DELETED, time=LONG_AGO, completed=True),
        )
        async with stack.database() as database:
            await drop_months(database, months=2, now=NOW)
            entries = await database.fetch("SELECT collection, type, time, data ? 'changes' AS changes FROM events")
    assert sorted(tuple(entry) for entry in entries) == [
        ("clusters", "summit.cluster.synced", SINCE, False),
        ("datacenters", "summit.datacenter.updated", SINCE, False),
        ("migrations", "summit.migration.observed", SINCE, False),
    ]


async def test_what_was_carried_over_is_no_event_of_the_stream(database_url: str) -> None:
    """The stream and the tables are compared by journal entries, and the stream has no event of this time."""
    async with api_stack(database_url) as stack:
        await stack.apply(vm_event("a", time=LONG_AGO), vm_event("b", time=LONG_AGO))
        async with open_writer(SecretStr(database_url), TIMES, history_months=2) as writer:
            await writer.prepare()
            assert await writer.journal.newest(2, STREAM_CREATED_AT) is None
