"""Edits by hand while NATS is away, silent or closed: rejected or reported as unsure, never made twice or by half."""

import asyncio
from dataclasses import replace
from pathlib import Path

from pydantic import SecretStr
from support.acting import WEB, acting
from support.editing import SOLNA, editing
from support.nats_server import nats_server
from support.program import frozen
from support.waiting import until

from summit_api.settings import ApiTimes
from summit_models.event import VmEventType
from summit_runtime.nats.connection import bus
from summit_runtime.nats.connection.bus import NatsTimes
from summit_runtime.nats.rights import Rights, Role, User, render, rights
from summit_runtime.nats.streams.stream import stream_state

VM = f"/admin/datacenters/{SOLNA}/vms/vm-001"
NEW = {"id": "vm-001", "name": "old-web"}


async def test_edits_are_refused_until_nats_is_back(tmp_path: Path, database_url: str) -> None:
    """A refused edit is not made later: the client must not keep it and send it when it is connected again."""
    directory = tmp_path / "nats"
    async with nats_server(directory) as (address, _):
        stack = editing(f"nats://{address}", database_url)
        api = await stack.__aenter__()
        assert (await api.ask("POST", VM.removesuffix("/vm-001"), NEW)).status_code == 200
        stored = (await stream_state(api.client)).last_sequence

    async def connected() -> bool:
        clients = (api.client, api.services.log.client)
        return all(client and client.is_connected for client in clients)

    async def is_away() -> bool:
        return not (api.services.log.client and api.services.log.client.is_connected)

    await until(is_away)
    refused = await api.ask("PATCH", VM, {"cpu": 2})
    assert (refused.status_code, "nothing was done" in refused.json()["error"]) == (503, True)
    assert (await api.ask("GET", "/vms/vm-001")).json()["cpu"] is None
    async with nats_server(directory):
        await until(connected)
        edited = await until(lambda: api.ask("PATCH", VM, {"cpu": 4}), lambda answer: answer.status_code == 200)
        assert edited.json()["cpu"] == 4
        assert (await stream_state(api.client)).last_sequence == stored + 1
        await stack.__aexit__(None, None, None)


async def test_edit_without_an_answer_is_reported_as_unsure(tmp_path: Path, database_url: str) -> None:
    """A frozen server may make the edit later. A read shows whether it did, and repeating the edit does no harm."""
    impatient = ApiTimes(nats=NatsTimes(answer_seconds=1.0))
    async with (
        nats_server(tmp_path / "nats") as (address, server),
        editing(f"nats://{address}", database_url, times=impatient) as api,
    ):
        assert (await api.ask("POST", VM.removesuffix("/vm-001"), NEW)).status_code == 200
        assert server.pid
        with frozen([server.pid]):
            unsure = await api.ask("PATCH", VM, {"cpu": 2})
        assert (unsure.status_code, "may have been done" in unsure.json()["error"]) == (503, True)
        edited = await until(lambda: api.ask("PATCH", VM, {"cpu": 2}), lambda answer: answer.status_code == 200)
        assert edited.json()["cpu"] == 2
        (said,) = (await api.newest(f"summit.vms.{SOLNA}.-.-.*")).values()
        assert (said["type"], said["data"]["cpu"]) == (VmEventType.UPDATED, 2)


async def test_an_api_that_may_not_publish_reads_on_and_names_the_permission(tmp_path: Path, database_url: str) -> None:
    """Its answer comes at once, and is no time-out that somebody repeats."""
    own = rights(Role.API) or Rights()
    reading = replace(own, publish=[subject for subject in own.publish if not subject.startswith("ingest.")])
    users = render([User("all", "p", None), User("api", "p", reading)])
    async with (
        nats_server(tmp_path / "nats", more=users) as (address, _),
        acting(f"nats://all:p@{address}", database_url) as api,
        bus.connected(SecretStr(f"nats://api:p@{address}"), name="api") as client,
    ):
        api.services.log.client = client
        async with asyncio.timeout(3):
            action = await api.ask("POST", f"/vms/{WEB}/start")
            edit = await api.ask("POST", VM.removesuffix("/vm-001"), NEW)
        assert (action.status_code, edit.status_code) == (503, 503)
        permission = "NATS does not permit the user of NATS_URL to publish 'ingest.summit.operations.dc-solna.vulcan.>'"
        assert permission in action.json()["detail"]
        assert "'ingest.summit.vms.dc-solna.-.>'" in edit.json()["error"]
        assert (await api.ask("GET", f"/vms/{WEB}")).json()["name"] == "web"
        assert await api.steps() == []
