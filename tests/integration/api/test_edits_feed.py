"""Edits by hand in the live feed: sent like all other changes. The original sends none of them."""

from support.feeding import feed_stack, listening
from support.published import datacenter_event

VMS = "/api/v1/admin/datacenters/dc-solna/vms"


async def test_edits_are_sent(nats_url: str, database_url: str) -> None:
    """A VM that is moved leaves one datacenter and comes to the other, for who follows all and for who follows one."""
    async with feed_stack(nats_url, database_url) as stack:
        await stack.applied(datacenter_event(), datacenter_event(id="dc-uppsala", name="Uppsala"))
        async with listening(stack.http) as all_of_it, listening(stack.http, datacenter="dc-uppsala") as uppsala:
            await all_of_it.joined()
            await uppsala.joined()
            assert (await stack.http.post(VMS, json={"id": "vm-001", "name": "a"})).status_code == 200
            assert (await stack.http.patch(f"{VMS}/vm-001", json={"name": "b"})).status_code == 200
            body = {"vmId": "vm-001", "fromDC": "dc-solna", "toDC": "dc-uppsala"}
            assert (await stack.http.post("/api/v1/migrate", json=body)).status_code == 200
            await all_of_it.until(lambda: len(all_of_it.changes()) == 4)
            await uppsala.until(uppsala.changes)
    assert all_of_it.changes() == [("vm:added", "a"), ("vm:updated", "b"), ("vm:removed", "b"), ("vm:added", "b")]
    assert uppsala.changes() == [("vm:added", "b")]


async def test_test_event_is_sent(nats_url: str, database_url: str) -> None:
    """To all clients, in the original's words."""
    async with feed_stack(nats_url, database_url) as stack, listening(stack.http) as client:
        await client.joined()
        answer = await stack.get("/api/v1/admin/test-event")
        await client.until(lambda: client.payloads("test:event"))
    assert answer == {"ok": True, "sent": True}
    assert client.payloads("test:event") == [{"msg": "manual test event"}]
