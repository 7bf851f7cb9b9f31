"""A client of the feed knows what a list would show: during a storm of writes, with any filters."""

from contextlib import AsyncExitStack
from typing import Any

from support.feeding import FeedStack, ageless, feed_stack, listening
from support.storm import Fleet

SELECTIONS: list[dict[str, Any]] = [
    {},
    {"datacenter": "dc-solna"},
    {"cluster": ["vulcan", "kronos"], "status": "running"},
    {"namespace": "prod", "status": ["stopped", "error"]},
    {"label": "tier in (a),tier!=b", "node": ["worker-1", "worker-2"]},
    {"q": ["worker-2 vm-1", "kronos worker"], "managed": "true", "problems": "false"},
]


async def listed(stack: FeedStack, revision: int, selection: dict[str, Any]) -> dict[str, Any]:
    """The VMs that a list shows, by id."""
    page = await stack.get("/api/v1/vms", limit=500, revision=revision, **selection)
    return {vm["id"]: ageless(vm) for vm in page["items"]}


async def test_clients_that_join_in_a_storm_know_what_lists_show(nats_url: str, database_url: str) -> None:
    """Each begins with a snapshot during writes and follows its own selection: no gap, nothing twice."""
    fleet = Fleet(seed=4)
    async with feed_stack(nats_url, database_url) as stack, AsyncExitStack() as clients:
        await stack.publish(*(fleet.next_event() for _ in range(100)))
        followed = []
        for selection in SELECTIONS:
            client = await clients.enter_async_context(listening(stack.http, snapshot="true", **selection))
            followed.append((client, selection))
            revision = await stack.publish(*(fleet.next_event() for _ in range(50)))
        for client, selection in followed:
            expected = await listed(stack, revision, selection)
            await client.until(lambda client=client, expected=expected: client.known() == expected)
            assert expected
            assert not client.payloads("reset")
            assert len(client.payloads("snapshot:done")) == 1
