"""Edits are published again before they age out of the log, and when the log was lost."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from support.editing import SOLNA, Editing, editing
from support.projecting import publish
from support.published import vm_event
from support.waiting import until

from summit_api.edits.repeat import repeat
from summit_api.settings import ApiTimes
from summit_models.event import VmEventType
from summit_models.subject import STREAM
from summit_projector.settings import ProjectorTimes
from summit_runtime.nats.connection.clock import Clock
from summit_runtime.nats.streams.stream import ensure_stream, stream_state

SUBJECT = f"summit.vms.{SOLNA}.-.-.vm-001"
AFTER = timedelta(seconds=ApiTimes().repeat_after_seconds)
HAND = "SELECT id FROM vms WHERE NOT managed AND deleted_at IS NULL"


@pytest.fixture
async def api(nats_url: str, database_url: str) -> AsyncIterator[Editing]:
    """A VM that was added by hand, and a projector that looks at the log often."""
    soon = ProjectorTimes(check_seconds=0.05, settle_seconds=0.1)
    async with editing(nats_url, database_url, projector_times=soon) as api:
        answer = await api.ask("POST", f"/admin/datacenters/{SOLNA}/vms", {"id": "vm-001", "name": "old-web", "cpu": 4})
        assert answer.status_code == 200
        await api.readings.fetch("UPDATE datacenters SET observed_at = now()")  # tests' events have a fixed time
        yield api


async def test_recent_edit_is_not_repeated(api: Editing) -> None:
    """The state of a watched VM is not repeated here either: its watcher does that."""
    await api.readings.fetch("UPDATE vms SET observed_at = now() - INTERVAL '31 days' WHERE managed")
    before = await stream_state(api.client)
    await repeat(api.client, api.services.read_models, AFTER)
    assert await stream_state(api.client) == before


async def test_silent_vm_is_repeated_once(api: Editing) -> None:
    """After a month, so that it is in the log after three. Two apis do it at once, and one repetition is stored."""
    await api.readings.fetch("UPDATE vms SET observed_at = now() - INTERVAL '31 days' WHERE NOT managed")
    before = (await stream_state(api.client)).last_sequence
    await repeat(api.client, api.services.read_models, AFTER)
    await repeat(api.client, api.services.read_models, AFTER)
    await api.readings.applied(before + 1)
    said = (await api.newest())[SUBJECT]
    assert (said["type"], said["data"]["cpu"]) == (VmEventType.OBSERVED, 4)
    (vm,) = await api.readings.fetch("SELECT observed_at > now() - INTERVAL '1 day' AS seen FROM vms WHERE NOT managed")
    assert vm["seen"]


async def test_clock_of_postgres_does_not_decide_what_is_repeated(api: Editing) -> None:
    """With one that was a month ahead of that of NATS, each edit was published again every minute."""
    ago = timedelta(days=40)
    await api.readings.fetch("UPDATE vms SET observed_at = now() - INTERVAL '40 days'")
    await api.readings.fetch("UPDATE datacenters SET observed_at = now() - INTERVAL '40 days'")
    api.client.clock = Clock(lambda: datetime.now(UTC) - ago)
    before = await stream_state(api.client)
    await repeat(api.client, api.services.read_models, AFTER)
    assert await stream_state(api.client) == before


async def test_vm_outlives_the_log_that_had_it(api: Editing) -> None:
    """The log was lost: watchers publish their clusters again, and the api publishes the edits."""
    await api.client.jetstream().delete_stream(STREAM)
    await ensure_stream(api.client)
    await publish(api.client, vm_event("other"))
    watched = "SELECT name FROM vms WHERE managed AND deleted_at IS NULL"
    await until(lambda: api.readings.fetch(watched), lambda rows: [row["name"] for row in rows] == ["other"])
    assert await api.readings.fetch(HAND) == [{"id": "vm-001"}]
    await repeat(api.client, api.services.read_models, AFTER)
    assert (await api.newest())[SUBJECT]["data"]["cpu"] == 4
    assert (await api.ask("PATCH", f"/admin/datacenters/{SOLNA}/vms/vm-001", {"cpu": 8})).status_code in {200, 409}
