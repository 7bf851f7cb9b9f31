"""The state of the tables for `summit-connect status`: the applied revision and the newest dead letters."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import asyncpg
from pydantic import SecretStr

from summit_runtime import database

NEWEST = 10
ANSWER_SECONDS = 3.0
"""A server that starts or is stuck must not keep `status` from printing the rest."""

_CHECKPOINT = "SELECT revision, applied_at FROM checkpoint"
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
        reason = str(error) or f"not within {ANSWER_SECONDS:g} s"
        return {"error": f"Postgres does not answer: {reason}"}


async def _read(url: str) -> Mapping[str, Any]:
    connection = await database.connect(SecretStr(url), application="summit-status")
    try:
        checkpoint = await connection.fetchrow(_CHECKPOINT)
        newest = await connection.fetch(_NEWEST, NEWEST)
        return {
            "revision": checkpoint["revision"] if checkpoint else 0,
            "appliedAt": _utc(checkpoint["applied_at"]) if checkpoint else None,
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


def _utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
