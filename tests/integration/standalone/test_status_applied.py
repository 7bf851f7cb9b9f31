"""`summit-connect status` shows the applied revision and the dead letters with their reasons."""

import json

import asyncpg
from support.projecting import Readings, projector, projector_settings, publish, publisher, put
from support.published import vm_event

from summit_models.subject import STREAM, subject_of
from summit_runtime.nats.streams.stream import ensure_stream, stream_state
from summit_standalone.commands.status import as_text, is_well, read, read_applied
from summit_standalone.commands.waiting_events import read_waiting

STATE = {"api": "http://127.0.0.1:3001", "dataDir": "/data", "processes": []}


async def test_a_dead_letter_is_shown_with_its_reason(nats_url: str, database_url: str) -> None:
    """The JSON and the text have its subject and its reason."""
    async with publisher(nats_url) as client, projector(projector_settings(nats_url, database_url)):
        subject = subject_of(vm_event("erp"))
        stored_as = await put(client, subject, b"no JSON")
        await Readings(database_url).applied(stored_as)
    applied = await read_applied(database_url)
    (event,) = json.loads(json.dumps(applied))["setAside"]["newest"]
    assert (applied["revision"], applied["setAside"]["count"]) == (1, 1)
    assert (event["revision"], event["subject"]) == (1, subject)
    text = as_text({**STATE, "applied": applied})
    assert subject in text
    assert event["reason"].split()[0] in text.splitlines()[-1]


async def test_events_that_no_projector_applies_are_a_line_and_not_well(nats_url: str, database_url: str) -> None:
    """A projector that hangs runs, its clusters are synced, and the lists do not change."""
    async with publisher(nats_url) as client:
        await publish(client, vm_event("erp"), vm_event("web"))
        created_at = (await stream_state(client)).created_at
    waiting = await read_waiting(nats_url, 0, created_at)
    assert waiting["events"] == 2
    assert (await read_waiting(nats_url, 2, created_at)) == {"events": 0, "since": None}
    applied = {"revision": 0, "appliedAt": None, "setAside": {"count": 0, "newest": []}}
    state = {**STATE, "clusters": {"items": []}, "applied": {**applied, "waiting": waiting}}
    assert is_well(state)
    assert "events wait" not in as_text(state)
    long_ago = waiting | {"since": "2026-01-01T00:00:00+00:00"}
    late = {**state, "applied": {**applied, "waiting": long_ago}}
    assert not is_well(late)
    assert "2 events wait since 2026-01-01T00:00:00+00:00; lists show the states before" in as_text(late)


async def test_events_of_a_stream_that_replaced_the_applied_one_wait(nats_url: str, database_url: str) -> None:
    """The applied revision is one of the old stream, and beyond the end of the new one."""
    async with publisher(nats_url) as client, projector(projector_settings(nats_url, database_url)):
        await publish(client, vm_event("erp"))
        await Readings(database_url).applied(await publish(client, vm_event("web")))
    applied = await read_applied(database_url)
    async with publisher(nats_url) as client:
        await client.jetstream().delete_stream(STREAM)
        await ensure_stream(client)
        await publish(client, vm_event("erp"))
    state = await read({"databaseUrl": database_url, "natsUrl": nats_url, **STATE}, None)
    assert (state["applied"]["revision"], state["applied"]["waiting"]["events"]) == (applied["revision"], 1)


async def test_log_that_cannot_be_read_is_a_line_and_not_well() -> None:
    """The rest is printed all the same, within seconds."""
    waiting = await read_waiting("nats://127.0.0.1:1", 0, None)
    applied = {"revision": 0, "appliedAt": None, "setAside": {"count": 0, "newest": []}, "waiting": waiting}
    state = {**STATE, "clusters": {"items": []}, "applied": applied}
    assert not is_well(state)
    assert as_text(state).splitlines()[-1] == "log: NATS does not answer"


async def test_tables_of_a_newer_version_are_one_line(database_url: str) -> None:
    """They have the moment of the downgrade, so their revision is not shown as if it were the present one."""
    connection = await asyncpg.connect(database_url)
    await connection.execute("UPDATE alembic_version SET version_num = '9999'")
    await connection.close()
    text = as_text({**STATE, "applied": await read_applied(database_url)})
    assert text.splitlines()[-1].startswith("tables: the tables were made by a newer version")
    assert "APPLIED REVISION" not in text


async def test_tables_that_cannot_be_read_are_one_line(empty_database_url: str) -> None:
    """The rest of the status is printed all the same."""
    assert (await read_applied(empty_database_url))["error"] == "the projector has not made the tables yet"
    applied = await read_applied("postgresql://127.0.0.1:1/none")
    assert as_text({**STATE, "applied": applied}).splitlines()[-1].startswith("tables: Postgres cannot be reached: ")
