"""`summit-connect status` shows the applied revision and the dead letters with their reasons."""

import json

import asyncpg
from support.projecting import Readings, projector, projector_settings, publisher
from support.published import vm_event

from summit_models.subject import ingest, subject_of
from summit_standalone.commands.status import as_text, read_applied

STATE = {"api": "http://127.0.0.1:3001", "dataDir": "/data", "processes": []}


async def test_a_dead_letter_is_shown_with_its_reason(nats_url: str, database_url: str) -> None:
    """The JSON and the text have its subject and its reason."""
    async with publisher(nats_url) as client, projector(projector_settings(nats_url, database_url)):
        subject = subject_of(vm_event("erp"))
        ack = await client.jetstream().publish(ingest(subject), b"no JSON")
        await Readings(database_url).applied(ack.seq)
    applied = await read_applied(database_url)
    (event,) = json.loads(json.dumps(applied))["setAside"]["newest"]
    assert (applied["revision"], applied["setAside"]["count"]) == (1, 1)
    assert (event["revision"], event["subject"]) == (1, subject)
    text = as_text({**STATE, "applied": applied})
    assert subject in text
    assert event["reason"].split()[0] in text.splitlines()[-1]


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
