"""Clients of the feed while the tables are rebuilt: they end with what lists show, whenever they began."""

import asyncio
from itertools import count
from typing import Any

from support.feeding import FeedStack, Listener, ageless, api, feed_stack, listening
from support.projecting import Readings, projector_settings
from support.published import vm_event

from summit_models.event import VmEventType
from summit_projector.projections import PROJECTIONS
from summit_projector.rebuild import rebuild
from summit_projector.recovery.difference import Rebuilt
from summit_runtime.waiting import end

VMS = 30
COLUMNS = ", ".join(PROJECTIONS["vms"].columns)
DAMAGE = (
    "UPDATE vms SET cpu = 1000 WHERE name < 'vm-2'",
    "DELETE FROM vms WHERE name = 'vm-3'",
    f"""
    INSERT INTO vms ({COLUMNS}) SELECT {COLUMNS} FROM
    (SELECT (jsonb_populate_record(vms, '{{"id": "ghost", "name": "ghost"}}')).* FROM vms LIMIT 1) AS ghost
    """,  # noqa: S608
)


async def rebuilt(stack: FeedStack, nats_url: str, database_url: str) -> Rebuilt:
    async with asyncio.timeout(30):
        return await rebuild(stack.client, projector_settings(nats_url, database_url))


async def shown(stack: FeedStack) -> dict[str, Any]:
    """The VMs that lists show now, by id."""
    page = await stack.get("/api/v1/vms", limit=500)
    return {vm["id"]: ageless(vm) for vm in page["items"]}


async def keep_changing(stack: FeedStack) -> None:
    """Keep a fleet changing during a rebuild, apart from VMs whose row is gone: a list does not show them."""
    for n in count():
        await stack.publish(vm_event(f"vm-{10 + n % (VMS - 10)}", versions=(n + 2, 0), memory=n))


async def ends_with(client: Listener, vms: dict[str, Any]) -> None:
    await client.until(lambda: client.known() == vms)


async def test_clients_end_with_what_a_rebuild_has_put_right(nats_url: str, database_url: str) -> None:
    """Clients from before it, clients that come during it, also to an api that starts then, and clients that return."""
    readings = Readings(database_url)
    async with feed_stack(nats_url, database_url) as stack, listening(stack.http, snapshot="true") as before:
        await stack.applied(*(vm_event(f"vm-{n}", VmEventType.CREATED, cpu=1) for n in range(VMS)))
        position = (await stack.get("/api/v1/vms"))["position"]
        for statement in DAMAGE:
            await readings.fetch(statement)
        changing = asyncio.create_task(keep_changing(stack))
        rebuilding = asyncio.create_task(rebuilt(stack, nats_url, database_url))
        async with (
            api(nats_url, database_url) as (http, _),
            listening(stack.http, snapshot="true") as midst,
            listening(http, snapshot="true") as other,
        ):
            assert (await rebuilding).found
            async with listening(http, last_event_id=position) as again, listening(http, snapshot="true") as after:
                await again.until(lambda: again.payloads("reset"))
                await end(changing)
                await stack.applied(vm_event("last", VmEventType.CREATED))
                vms = await shown(stack)
                for client in (before, midst, other, after):
                    await ends_with(client, vms)
    assert {vm["name"] for vm in vms.values()} == {*(f"vm-{n}" for n in range(VMS)), "last"}
    assert {payload["cause"] for payload in (*before.payloads("reset"), *again.payloads("reset"))} == {"replaced"}


async def test_rebuild_that_finds_nothing_is_not_noticed(nats_url: str, database_url: str) -> None:
    """No reset, and no change is sent twice."""
    async with feed_stack(nats_url, database_url) as stack, listening(stack.http) as client:
        await client.joined()
        await stack.applied(*(vm_event(f"vm-{n}", VmEventType.CREATED) for n in range(VMS)))
        assert (await rebuilt(stack, nats_url, database_url)).found == 0
        await stack.publish(vm_event("last", VmEventType.CREATED))
        await client.until(lambda: len(client.changes()) == VMS + 1)
    assert client.payloads("reset") == []
    assert client.changes() == [*(("vm:added", f"vm-{n}") for n in range(VMS)), ("vm:added", "last")]
