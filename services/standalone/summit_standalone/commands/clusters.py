"""The clusters of a running instance, as its api shows them: which are well, and why the others are not."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp
import asyncpg
from pydantic import SecretStr

from summit_runtime.postgres import database
from summit_standalone.commands.table import render

ANSWER_SECONDS = 3.0
"""A server that starts or is stuck must not keep `status` from printing the rest."""

WELL = "synced"
_SECONDS = len("2026-11-29T06:00:00")
"""A line has no room for what follows."""
_VMS = "SELECT cluster, count(*) AS vms FROM vms WHERE deleted_at IS NULL GROUP BY cluster"


async def read_clusters(state: Mapping[str, Any], token: str | None) -> Mapping[str, Any]:
    """Under `items` the clusters with the number of their VMs; under `error` why they cannot be read."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            items, vms = await _answered(state["api"], token), await _vms(state["databaseUrl"])
    except (aiohttp.ClientError, TimeoutError) as error:
        return {"error": f"the api does not answer: {str(error) or f'not within {ANSWER_SECONDS:g} s'}"}
    except database.OUTAGE as error:
        return {"error": database.outage(error)}
    return {"items": [item | {"vms": vms.get(item["name"], 0)} for item in items]}


async def _answered(api: str, token: str | None) -> Sequence[dict[str, Any]]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with (
        aiohttp.ClientSession(headers=headers, raise_for_status=True) as session,
        session.get(f"{api}/api/v1/clusters", allow_redirects=False) as answer,
    ):
        items: Sequence[dict[str, Any]] = (await answer.json())["items"]
        return items


async def _vms(url: str) -> Mapping[str, int]:
    connection = await database.connect(SecretStr(url), application="summit-status")
    try:
        return {row["cluster"]: row["vms"] for row in await connection.fetch(_VMS)}
    except asyncpg.UndefinedTableError:  # the projector has not made the tables yet
        return {}
    finally:
        connection.terminate()


def are_well(clusters: Mapping[str, Any]) -> bool:
    """Whether they can be read, each is watched, and the states of its VMs are fresh."""
    return all(_is_well(cluster) for cluster in clusters.get("items", ())) and "error" not in clusters


def as_text(clusters: Mapping[str, Any]) -> str:
    """A table with a line for each cluster, those that need somebody first."""
    if error := clusters.get("error"):
        return f"clusters: {error}"
    if not clusters["items"]:
        return "clusters: none is known yet"
    rows = [
        (
            cluster["name"],
            cluster["datacenter"],
            cluster["state"],
            cluster["vms"],
            "yes" if cluster["stale"] else "no",
            _time(cluster["since"]),
            cluster.get("watcher"),
            _time(cluster.get("watchedSince")),
            cluster["reason"],
        )
        for cluster in sorted(clusters["items"], key=lambda cluster: (_is_well(cluster), cluster["name"]))
    ]
    return render(
        ("CLUSTER", "DATACENTER", "STATE", "VMS", "STALE", "SINCE", "WATCHER", "WATCHED SINCE", "REASON"), rows
    )


def _time(moment: str | None) -> str | None:
    return moment and f"{moment[:_SECONDS]}Z"


def _is_well(cluster: Mapping[str, Any]) -> bool:
    return cluster["state"] == WELL and not cluster["stale"]
