"""`summit-connect status`: the clusters, addresses and processes of an instance and the state of its tables."""

import asyncio
import textwrap
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import asyncpg
from pydantic import SecretStr

from summit_models.tables import newer_schema
from summit_runtime.postgres import database
from summit_runtime.settings import public_address
from summit_standalone.commands import clusters, waiting_events
from summit_standalone.commands.clusters import ANSWER_SECONDS
from summit_standalone.commands.table import render
from summit_standalone.embedded.child import ChildState
from summit_standalone.instance import nats_admin_url

NEWEST = 10

REASON_LENGTH = 100
"""A line of a terminal; the whole sentence is in the JSON and in the table `dead_letters`."""

_SCHEMA = "SELECT version_num FROM alembic_version"
_CHECKPOINT = "SELECT revision, applied_at, stream_created_at FROM checkpoint"
_COUNT = "SELECT count(*) FROM dead_letters"
_NEWEST = (  # by its key
    "SELECT revision, subject, reason, dead_lettered_at FROM dead_letters ORDER BY revision DESC LIMIT $1"
)


async def read_applied(url: str) -> Mapping[str, Any]:
    """The revision, its time and the dead letters; or, under `error`, why they cannot be read."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await _read(url)
    except asyncpg.UndefinedTableError:
        return {"error": "the projector has not made the tables yet"}
    except database.OUTAGE as error:
        return {"error": database.outage(error)}


async def read(state: dict[str, Any], token: str | None) -> dict[str, Any]:
    """Add `clusters` and `applied` to the state of an instance."""
    if "databaseUrl" not in state:  # its servers start
        return state
    found, applied = await asyncio.gather(clusters.read_clusters(state, token), read_applied(state["databaseUrl"]))
    if "revision" in applied:
        created_at = applied["streamCreatedAt"] and datetime.fromisoformat(applied["streamCreatedAt"])
        waiting = await waiting_events.read_waiting(nats_admin_url(state), applied["revision"], created_at)
        applied = {**applied, "waiting": waiting}
    return {"clusters": found, **state, "applied": applied}


async def _read(url: str) -> Mapping[str, Any]:
    connection = await database.connect(SecretStr(url), application="summit-status")
    try:
        if newer := newer_schema(await connection.fetchval(_SCHEMA)):
            return {"error": newer}
        checkpoint = await connection.fetchrow(_CHECKPOINT)
        newest = await connection.fetch(_NEWEST, NEWEST)
        return {
            "revision": checkpoint["revision"] if checkpoint else 0,
            "appliedAt": _utc(checkpoint["applied_at"]) if checkpoint else None,
            "streamCreatedAt": checkpoint["stream_created_at"].isoformat() if checkpoint else None,
            "setAside": {
                "count": await connection.fetchval(_COUNT),
                "newest": [
                    {
                        "revision": row["revision"],
                        "subject": row["subject"],
                        "reason": row["reason"],
                        "setAsideAt": _utc(row["dead_lettered_at"]),
                    }
                    for row in newest
                ],
            },
        }
    finally:
        connection.terminate()


def is_well(state: Mapping[str, Any]) -> bool:
    """Whether all processes run, all clusters are watched and fresh, and the tables follow the log."""
    running = all(process["state"] == ChildState.RUNNING for process in state["processes"])
    waiting = state.get("applied", {}).get("waiting", {})
    applied = "error" not in waiting and not waiting_events.is_late(waiting, datetime.now(UTC))
    return running and applied and "clusters" in state and clusters.are_well(state["clusters"])


def _utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def as_text(state: Mapping[str, Any]) -> str:
    """Tables; users and passwords are in the JSON only."""
    addresses = [
        ("api", state.get("api")),
        ("nats", public_address(state.get("natsUrl", ""))),
        ("database", public_address(state.get("databaseUrl", ""))),
        ("data", state.get("dataDir")),
    ]
    processes = [
        (process["name"], process["pid"], process["state"], process["restarts"]) for process in state["processes"]
    ]
    shown = [clusters.as_text(state["clusters"])] if "clusters" in state else []
    tables = (*shown, render(("WHAT", "WHERE"), addresses), render(("PROCESS", "PID", "STATE", "RESTARTS"), processes))
    return "\n\n".join((*tables, *_applied(state.get("applied", {}))))


def _applied(applied: Mapping[str, Any]) -> list[str]:
    if not applied:
        return []
    if error := applied.get("error"):
        return [f"tables: {error}"]
    letters = applied["setAside"]
    row = (applied["revision"], applied["appliedAt"], letters["count"])
    events = [
        (event["revision"], event["subject"], textwrap.shorten(event["reason"], REASON_LENGTH, placeholder=" …"))
        for event in letters["newest"]
    ]
    late = waiting_events.as_text(applied.get("waiting", {}), datetime.now(UTC))
    shown = [render(("APPLIED REVISION", "AT", "DEAD LETTERS"), [row]), *late]
    return shown + ([render(("DEAD LETTER", "SUBJECT", "REASON"), events)] if events else [])
