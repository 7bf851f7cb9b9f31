"""Access to the feed: it shows what lists show to the same caller, and ends with the token of its client."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.api_stack import placed_vm
from support.callers import access_text, new_tokens
from support.feeding import FeedStack, feed_stack, listening
from support.published import cluster_event, migration_event

from summit_api.access.identify import Access
from summit_api.access.policy import PolicyFile
from summit_api.settings import ApiTimes
from summit_models.event import VmEventType

CALLERS = {
    "all": "role: viewer",
    "uppsala": "role: viewer, datacenters: [dc-uppsala]",
    "test": "role: viewer, namespaces: [test]",
}
TIMES = ApiTimes(admission_seconds=0.05)
TOKENS = new_tokens(CALLERS)


def policy(*names: str) -> str:
    """An access file with the tokens of these callers."""
    return access_text({name: CALLERS[name] for name in names}, TOKENS)


def rewrite(path: Path, text: str) -> None:
    path.write_text(text)


@pytest.fixture
def access_file(tmp_path: Path) -> Path:
    """The tokens of all callers."""
    path = tmp_path / "access.yaml"
    path.write_text(policy(*CALLERS))
    return path


@pytest.fixture
async def stack(nats_url: str, database_url: str, access_file: Path) -> AsyncIterator[FeedStack]:
    """Sends the token of a caller who sees everything, unless another token is given."""
    async with feed_stack(nats_url, database_url, access=Access(policy=PolicyFile(access_file)), times=TIMES) as stack:
        stack.http.headers["Authorization"] = f"Bearer {TOKENS['all']}"
        yield stack


async def test_each_caller_receives_only_its_part_of_the_fleet(stack: FeedStack) -> None:
    """In the snapshot and in later changes, for VMs, migrations and clusters."""
    there = {"datacenter": "dc-uppsala", "cluster": "kronos"}
    await stack.applied(
        placed_vm("solna-1", type_=VmEventType.CREATED),
        placed_vm("uppsala-1", type_=VmEventType.CREATED, **there),
        placed_vm("test-1", type_=VmEventType.CREATED, namespace="test"),
        cluster_event(),
    )
    seen = {}
    for name in CALLERS:
        async with listening(stack.http, token=TOKENS[name], snapshot="true") as client:
            await client.until(lambda client=client: client.payloads("snapshot:done"))
            await stack.applied(
                placed_vm(f"solna-{name}", type_=VmEventType.CREATED),
                migration_event(f"m-{name}"),
                placed_vm(f"uppsala-{name}", type_=VmEventType.CREATED, namespace="test", **there),
            )
            await client.until(lambda client=client, name=name: ("vm:added", f"uppsala-{name}") in client.changes())
            seen[name] = [vm for _, vm in client.changes()]
            assert bool(client.payloads("migration:updated")) is (name == "all")
            if name == "uppsala":
                assert not client.payloads("cluster:updated")
            else:
                await client.until(lambda client=client: client.payloads("cluster:updated"))
    assert sorted(seen["all"][:3]) == ["solna-1", "test-1", "uppsala-1"]
    assert seen["all"][3:] == ["solna-all", "uppsala-all"]
    assert seen["uppsala"] == ["uppsala-1", "uppsala-all", "uppsala-uppsala"]
    assert sorted(seen["test"]) == ["test-1", "uppsala-all", "uppsala-test", "uppsala-uppsala"]


async def test_feed_needs_a_token_or_a_ticket(stack: FeedStack) -> None:
    """A browser can send no token; it gets a ticket first, which is valid for the same part of the fleet."""
    headers = {"Authorization": f"Bearer {TOKENS['uppsala']}"}
    ticket = (await stack.http.post("/api/v1/tickets", headers=headers)).json()["ticket"]
    del stack.http.headers["Authorization"]
    assert (await stack.http.get("/api/v1/events")).status_code == 401
    assert (await stack.http.get("/api/v1/events?ticket=x.y")).status_code == 401
    async with listening(stack.http, ticket=ticket) as client:
        await client.joined()
        await stack.publish(
            placed_vm("solna", type_=VmEventType.CREATED),
            placed_vm("uppsala", type_=VmEventType.CREATED, datacenter="dc-uppsala", cluster="kronos"),
        )
        await client.until(client.changes)
    assert client.changes() == [("vm:added", "uppsala")]


async def test_feed_ends_with_its_token(stack: FeedStack, access_file: Path) -> None:
    """Properly, within seconds after the access file has changed; the feeds of other tokens continue."""
    async with (
        listening(stack.http, token=TOKENS["uppsala"]) as withdrawn,
        listening(stack.http, token=TOKENS["test"]) as narrowed,
        listening(stack.http) as kept,
    ):
        for client in (withdrawn, narrowed, kept):
            await client.joined()
        rewrite(access_file, policy("all", "test").replace("[test]", "[other]"))
        for client in (withdrawn, narrowed):
            await client.until(lambda client=client: client.ended)
            assert client.failure is None
        await stack.publish(placed_vm("a", type_=VmEventType.CREATED))
        await kept.until(kept.changes)


async def test_feed_opened_by_a_ticket_ends_after_an_hour(nats_url: str, database_url: str, access_file: Path) -> None:
    """A ticket does not show whether the token it was issued for is still valid."""
    assert TIMES.ticket_feed_seconds == 3600
    access = Access(policy=PolicyFile(access_file))
    hour_is_over = replace(TIMES, ticket_feed_seconds=0)
    for times, ends in ((TIMES, False), (hour_is_over, True)):
        async with feed_stack(nats_url, database_url, access=access, times=times) as stack:
            headers = {"Authorization": f"Bearer {TOKENS['all']}"}
            ticket = (await stack.http.post("/api/v1/tickets", headers=headers)).json()["ticket"]
            async with listening(stack.http, ticket=ticket) as client:
                await client.until(lambda client=client, ends=ends: client.ended if ends else client.events)
                assert client.failure is None
                assert client.ended is ends


async def test_a_caller_who_does_not_read_snapshots_keeps_nobody_elses_waiting(stack: FeedStack) -> None:
    """Two feeds that nobody read took all the places, each for half a minute, and a hundred may be open."""
    port = int(stack.http.base_url.port or 0)
    labels = {"note": "x" * 200_000}
    for n in range(0, 80, 8):  # 16 MB: more than the kernel keeps for a connection
        await stack.applied(*(placed_vm(f"vm-{n + i}", type_=VmEventType.CREATED, labels=labels) for i in range(8)))
    head = f"GET /api/v1/events?snapshot=true HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKENS['all']}\r\n\r\n"
    unread = [await asyncio.open_connection("127.0.0.1", port, limit=1 << 16) for _ in range(4)]
    for reader, writer in unread:
        writer.write(head.encode())
        await reader.readuntil(b"hello")
    async with listening(stack.http, token=TOKENS["test"], snapshot="true") as client:
        await client.until(lambda: client.payloads("snapshot:done"))
    for _, writer in unread:
        writer.close()
