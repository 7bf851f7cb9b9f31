"""GET /api/v1/events against real servers: every change once, in order, when lists show it."""

from feeding import feed_stack, listening
from published import vm_event

from summit_models.event import VmEventType
from summit_models.vm import VmStatus


async def test_each_change_is_told_once_in_the_original_words(nats_url: str, database_url: str) -> None:
    """Added, updated with the old values of what changed, removed; unnamed, so that `onmessage` sees them."""
    async with feed_stack(nats_url, database_url) as stack, listening(stack.http) as client:
        await client.joined()
        await stack.publish(
            vm_event("a", VmEventType.CREATED),
            vm_event("a", versions=(2, 0), status=VmStatus.STOPPED, changes={"status": "running"}),
            vm_event("a", VmEventType.DELETED, versions=(3, 0), status=VmStatus.STOPPED),
        )
        await client.until(lambda: client.told("vm:removed"))
    assert client.events[0].event == "hello"
    assert client.events[0].json() == {"msg": "connected"}
    assert client.changes() == [("vm:added", "a"), ("vm:updated", "a"), ("vm:removed", "a")]
    added, updated, removed = (m["payload"] for m in client.messages if m["type"].startswith("vm:"))
    assert (added["datacenter"], added["vm"]["status"]) == ("dc-solna", "running")
    assert (updated["vm"]["status"], updated["changes"]) == ("stopped", {"status": "running"})
    assert (removed["datacenter"], removed["vmName"], removed["vmId"]) == ("dc-solna", "a", added["vm"]["id"])
    assert removed["deleted"] is True
    assert [event.id for event in client.events if event.event == "message"][-3:] == ["1", "2", "3"]
    assert client.messages[-1]["timestamp"] == "2026-11-23T07:00:00.000Z"
