"""The original API's answers, exchange by exchange: method, path, status, and every member of the body.

`recorded-http/*.json` have what the original's own program (babe686) answered to requests in turn, from the state under
`given`. Ours must answer the same, and may have more members. Where ours is meant to be different, `ours` has the
answer and the reason. `<time>` and `<uuid>` stand for any.
"""

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from support.editing import Editing, log_and_tables
from support.published import datacenter_event, unmanaged_event
from support.recorded import difference

from summit_models.event import MigrationEvent, MigrationEventData, MigrationEventType, VmEvent, source_of

RECORDED: dict[str, Any] = {
    path.stem: json.loads(path.read_text()) for path in sorted((Path(__file__).parent / "recorded-http").glob("*.json"))
}


def vm_events(given: dict[str, Any]) -> list[VmEvent]:
    return [
        unmanaged_event(vm["id"], datacenter=datacenter["id"], **{k: v for k, v in vm.items() if k != "id"})
        for datacenter in given["datacenters"]
        for vm in datacenter["vms"]
    ]


def migration_events(given: dict[str, Any]) -> list[MigrationEvent]:
    """The original's migrations have no name but their id."""
    return [
        MigrationEvent(
            id=str(uuid4()),
            source=source_of(data.datacenter_id, data.cluster),
            subject=data.name,
            time=migration["updatedAt"],
            type=MigrationEventType.CREATED,
            data=data,
        )
        for migration in given.get("migrations", [])
        for data in [MigrationEventData.model_validate(known(migration) | {"name": migration["id"]})]
    ]


def known(migration: dict[str, Any]) -> dict[str, Any]:
    """Empty strings and null are what the original says of what it does not know."""
    return {name: value for name, value in migration.items() if value not in ("", None)}


async def state(api: Editing, given: dict[str, Any]) -> None:
    datacenters = [datacenter_event(**{k: v for k, v in dc.items() if k != "vms"}) for dc in given["datacenters"]]
    await api.publish(*datacenters, *vm_events(given), *migration_events(given))


async def exchange(http: httpx2.AsyncClient, request: dict[str, Any]) -> httpx2.Response:
    return await http.request(
        request["method"],
        request["path"],
        json=request.get("json"),
        data=request.get("form"),
        content=request.get("text"),
        headers={**({"Content-Type": "application/json"} if "text" in request else {}), **request.get("headers", {})},
    )


@pytest.mark.parametrize("recording", RECORDED)
async def test_answers_are_the_originals(recording: str, nats_url: str, database_url: str) -> None:
    """Or differ on purpose, with the reason beside them."""
    async with log_and_tables(nats_url, database_url) as api:
        await state(api, RECORDED[recording]["given"])
        for step in RECORDED[recording]["exchanges"]:
            expected = step.get("ours") or step["original"]
            answer = await exchange(api.http, step["request"])
            assert answer.status_code == expected["status"], (step["about"], answer.text)
            if expected.get("body") is not None:
                assert difference(expected["body"], answer.json()) is None, (step["about"], answer.text)
            if expected["status"] == 204:
                assert not answer.content, step["about"]


def test_each_difference_has_its_reason() -> None:
    """Each difference from the original is intended, and really is one."""
    for recorded in RECORDED.values():
        for step in recorded["exchanges"]:
            if ours := step.get("ours"):
                assert ours["why"], step["about"]
                assert {**ours, "why": None} != {**step["original"], "why": None}, step["about"]
