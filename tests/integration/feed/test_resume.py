"""A client that was away continues where it was, or receives a reset: never a gap, never a change twice."""

from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from support.feeding import FeedStack, Listener, api, feed_stack, listening
from support.projecting import projector, projector_settings, publish, publisher
from support.published import vm_event
from support.waiting import until

from summit_api.feed.feed import FeedLimits
from summit_api.settings import ApiTimes
from summit_models.event import VmEvent, VmEventType
from summit_models.subject import STREAM
from summit_projector.settings import ProjectorTimes
from summit_projector.tables.partitions import drop_months
from summit_runtime.nats.streams.stream import ensure_stream


def created(*names: str) -> list[VmEvent]:
    """The creation of a VM for each name."""
    return [vm_event(name, VmEventType.CREATED) for name in names]


def added(client: Listener) -> list[str]:
    """Names of the VMs that the client received as added."""
    return [name for type_, name in client.changes() if type_ == "vm:added"]


async def reset(stack: FeedStack, **position: Any) -> dict[str, Any]:
    """The reset of a client that continues from this position; a VM that is created later follows it."""
    async with listening(stack.http, **position) as client:
        await client.until(lambda: client.payloads("reset"))
        assert client.changes() == []
        assert client.payloads("refresh") == [{}]  # the page of the original lists again at this
        revision = await stack.publish(*created("later"))
        await client.until(lambda: added(client) == ["later"])
        assert client.last_revision == revision
    return dict(client.payloads("reset")[0])


async def test_feed_continues_after_a_lists_revision(nats_url: str, database_url: str) -> None:
    """The feed does not send what the list shows, and sends every later change once."""
    async with feed_stack(nats_url, database_url) as stack:
        await stack.applied(*created("a", "b"))
        position = (await stack.get("/api/v1/vms"))["position"]
        await stack.applied(*created("c"))
        async with listening(stack.http, since=position) as client:
            await client.joined()
            await stack.publish(*created("d"))
            await client.until(lambda: len(client.changes()) == 2)
    assert added(client) == ["c", "d"]


async def test_header_takes_precedence_over_the_address(nats_url: str, database_url: str) -> None:
    """A browser that reconnects repeats the address it began with, and adds the id of the last message."""
    async with feed_stack(nats_url, database_url) as stack:
        await stack.applied(*created("a", "b", "c"))
        first, second = await stack.position(1), await stack.position(2)
        async with listening(stack.http, since=first, last_event_id=second) as client:
            await client.until(client.changes)
    assert added(client) == ["c"]


async def test_impossible_id_is_rejected(nats_url: str, database_url: str) -> None:
    """With a problem that names the header."""
    async with feed_stack(nats_url, database_url) as stack:
        answer = await stack.http.get("/api/v1/events", headers={"Last-Event-ID": "x7"})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "Last-Event-ID"


@pytest.mark.parametrize("position", [{"last_event_id": "1"}, {"since": 1}], ids=["in the header", "in the address"])
async def test_id_of_an_earlier_version_is_reset(nats_url: str, database_url: str, position: dict[str, Any]) -> None:
    """It was a revision alone, which does not say to which log it belongs."""
    async with feed_stack(nats_url, database_url) as stack:
        await stack.applied(*created("a"))
        assert (await reset(stack, **position))["cause"] == "replaced"


async def test_client_that_was_away_while_the_log_was_replaced_is_reset(nats_url: str, database_url: str) -> None:
    """The new log may have reached the revision that the client knows, and the api be another process."""
    async with publisher(nats_url) as client:
        async with feed_stack(nats_url, database_url) as stack:
            await stack.applied(*created("a", "b"))
            before = await stack.get("/api/v1/vms")
            tag = (await stack.http.get("/api/v1/vms")).headers["ETag"]
        await client.jetstream().delete_stream(STREAM)
        await ensure_stream(client)
        await publish(client, *created("c", "d"))
        async with feed_stack(nats_url, database_url) as stack:
            shown = await until(
                lambda: stack.get("/api/v1/vms"), lambda page: [vm["name"] for vm in page["items"]] == ["c", "d"]
            )
            assert shown["revision"] == before["revision"]
            assert shown["position"] != before["position"]
            assert (await stack.http.get("/api/v1/vms", headers={"If-None-Match": tag})).status_code == 200
            assert (await reset(stack, since=before["position"]))["cause"] == "replaced"


async def test_each_change_is_seen_once_across_a_restart_of_the_api(nats_url: str, database_url: str) -> None:
    """A list, a feed, and changes while there was no api, which the new one reads at its start."""
    async with feed_stack(nats_url, database_url) as stack:
        await stack.applied(*created("a"))
        position = (await stack.get("/api/v1/vms"))["position"]
        async with listening(stack.http, since=position) as first:
            await first.joined()
            await stack.publish(*created("b", "c"))
            await first.until(lambda: len(first.changes()) == 2)
        await stack.publish(*created("d"))
        async with api(nats_url, database_url) as (http, _), listening(http, last_event_id=first.last_id) as second:
            await second.joined()
            await stack.publish(*created("e"))
            await second.until(lambda: len(second.changes()) == 2)
    assert added(first) + added(second) == ["b", "c", "d", "e"]


async def test_client_that_was_away_for_long_reads_the_journal(nats_url: str, database_url: str) -> None:
    """The process reads from the journal what it does not have in memory; then the feed continues live."""
    names = [f"vm-{n}" for n in range(30)]
    async with feed_stack(nats_url, database_url) as stack:
        await stack.applied(*created(*names))
        beginning = await stack.position(0)
        async with (
            api(nats_url, database_url, limits=FeedLimits(look_back_revisions=0)) as (http, _),
            listening(http, since=beginning) as client,
        ):
            await client.until(lambda: len(client.changes()) == 30)
            await stack.publish(*created("later"))
            await client.until(lambda: len(client.changes()) == 31)
    assert added(client) == [*names, "later"]


async def test_revision_from_the_future_is_reset(nats_url: str, database_url: str) -> None:
    """As after a log that was replaced: the client knows a revision of another log."""
    async with feed_stack(nats_url, database_url) as stack:
        revision = await stack.applied(*created("a"))
        answer = await reset(stack, since=await stack.position(revision + 1))
    assert answer["revision"] == revision
    assert f"revision {revision + 1} is not there yet" in answer["reason"]


async def test_client_from_before_a_dropped_month_is_reset(nats_url: str, database_url: str) -> None:
    """Its changes cannot be sent without a gap. A client from after that month continues."""
    june, july = datetime(2026, 6, 30, tzinfo=UTC), datetime(2026, 7, 2, tzinfo=UTC)
    async with feed_stack(nats_url, database_url) as stack:
        await stack.applied(*(vm_event(name, VmEventType.CREATED, time=june) for name in ("a", "b")))
        await stack.applied(*(vm_event(name, VmEventType.CREATED, time=july) for name in ("c", "d")))
        connection = await asyncpg.connect(database_url)
        await drop_months(connection, months=1, now=datetime(2026, 8, 1, tzinfo=UTC))
        await connection.close()
        async with api(nats_url, database_url) as (stack.http, _):
            for revision in (0, 1):
                answer = await reset(stack, since=await stack.position(revision))
                assert answer["cause"] == "too_old"
                assert "the journal begins after revision 2" in answer["reason"]
            async with listening(stack.http, since=await stack.position(2)) as client:
                await client.until(lambda: added(client)[:2] == ["c", "d"])


async def test_client_that_missed_too_much_is_reset(nats_url: str, database_url: str) -> None:
    """To list again is cheaper then."""
    limits = FeedLimits(look_back_revisions=0, replay_revisions=2)
    async with feed_stack(nats_url, database_url) as stack:
        await stack.applied(*created("a", "b", "c"))
        async with api(nats_url, database_url, limits=limits) as (stack.http, _):
            assert "3 events have been missed" in (await reset(stack, since=await stack.position(0)))["reason"]


async def test_client_that_comes_before_the_tables_is_reset_when_they_are_there(
    nats_url: str, database_url: str
) -> None:
    """It receives `hello` and waits for the projector's notification. Then it lists again, unless it has a snapshot."""
    async with (
        api(nats_url, database_url, times=ApiTimes(look_seconds=3600)) as (http, _),
        listening(http) as live,
        listening(http, snapshot="true") as whole,
    ):
        await live.until(lambda: live.events)
        async with publisher(nats_url) as client, projector(projector_settings(nats_url, database_url)):
            await live.until(lambda: live.payloads("reset"))
            await publish(client, *created("a"))
            await live.until(lambda: added(live) == ["a"])
            await whole.until(lambda: names(whole) == ["a"])
    assert live.payloads("reset")[0]["cause"] == "begun"
    assert not whole.payloads("reset")


async def test_log_that_was_replaced_resets_everybody(nats_url: str, database_url: str) -> None:
    """Its revisions start again; clients end with what lists show, and continue from there."""
    async with feed_stack(nats_url, database_url, projector_times=ProjectorTimes(check_seconds=0.1)) as stack:
        await stack.applied(*created("a", "b", "c"))
        async with listening(stack.http) as live, listening(stack.http, snapshot="true") as whole:
            await live.joined()
            await whole.until(lambda: len(whole.known()) == 3)
            await stack.client.jetstream().delete_stream(STREAM)
            await ensure_stream(stack.client)
            await stack.publish(*created("b"))
            await whole.until(lambda: names(whole) == ["b"])
            await until(lambda: stack.get("/api/v1/vms"), lambda page: len(page["items"]) == 1)
            await stack.publish(*created("d"))
            await whole.until(lambda: names(whole) == ["b", "d"])
            await live.until(lambda: any("the log was replaced" in sent["reason"] for sent in live.payloads("reset")))


def names(client: Listener) -> list[str]:
    """Names of the VMs that a client knows which began with a snapshot."""
    return sorted(vm["name"] for vm in client.known().values())
