"""A cluster without a contact for 90 s is stale, and so are its VMs, in every answer."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any, cast

import pytest
from support.api_stack import NOW, Stack, api_stack, health, placed_vm
from support.projecting import publisher
from support.published import CLUSTER, OBSERVED_AT, cluster_event, datacenter_event, unmanaged_event
from support.waiting import until

from summit_api.freshness import Freshness, follow
from summit_api.shapes.inventory import ClusterItem, ClusterList
from summit_models.cluster import ConnectionState, ResourceHealth
from summit_models.event import VmEventType
from summit_models.subject import HEALTH_BUCKET
from summit_runtime.nats.streams.stream import ensure_stream
from summit_runtime.waiting import end

SECOND = timedelta(seconds=1)


@pytest.fixture
async def stack(database_url: str) -> AsyncIterator[Stack]:
    async with api_stack(database_url) as stack:
        await stack.apply(datacenter_event(), cluster_event(), placed_vm("a"), placed_vm("b", cluster="other"))
        yield stack


async def stale(stack: Stack) -> list[Any]:
    """The staleness of VM a in three answers, of its cluster, and the number of stale VMs."""
    item = (await stack.get("/api/v1/vms", cluster=CLUSTER))["items"][0]
    shown = (await stack.get("/api/v1/datacenters"))["datacenters"][0]["vms"][0]
    one = await stack.get(f"/api/v1/vms/{item['id']}")
    cluster = (await stack.get("/api/v1/clusters"))["items"][-1]
    count = (await stack.get("/api/v1/status"))["stale"]
    return [item["stale"], shown.get("stale", False), one["stale"], cluster["stale"], count]


async def test_everything_is_stale_before_the_first_heartbeat(stack: Stack) -> None:
    """As without NATS: the api answers, and says that the picture may be old."""
    assert await stale(stack) == [True, True, True, True, 2]


async def test_cluster_is_fresh_for_90_seconds_after_its_last_contact(stack: Stack) -> None:
    """In every answer alike, and of this cluster only."""
    stack.report(health(CLUSTER, last_contact=NOW))
    stack.now = NOW + 90 * SECOND
    assert await stale(stack) == [False, False, False, False, 1]
    stack.now = NOW + 91 * SECOND
    assert await stale(stack) == [True, True, True, True, 2]


async def test_heartbeat_about_a_silent_cluster_keeps_it_stale(stack: Stack) -> None:
    """The cluster's last byte counts, not the watcher's last heartbeat."""
    stack.report(health(CLUSTER, state=ConnectionState.UNREACHABLE, last_contact=NOW - 91 * SECOND))
    assert await stale(stack) == [True, True, True, True, 2]


async def cluster(stack: Stack) -> dict[str, Any]:
    """The cluster as the list shows it, and as it is shown alone."""
    (item,) = (await stack.get("/api/v1/clusters"))["items"]
    assert await stack.get(f"/api/v1/clusters/{CLUSTER}") == item
    counted = (await stack.get("/api/v1/status"))["clustersByState"]
    assert {state: count for state, count in counted.items() if count} == {item["state"]: 1}
    for state in ConnectionState:
        found = (await stack.get("/api/v1/clusters", state=state))["items"]
        assert found == ([item] if state == item["state"] else [])
    return cast(dict[str, Any], item)


async def test_stopped_watcher_does_not_look_healthy(stack: Stack) -> None:
    """Nobody publishes that a watcher was killed: list, filter, counts and the cluster itself say it by time alone."""
    resource = ResourceHealth(resource="virtualmachines", state=ConnectionState.SYNCED, since=NOW, known_objects=7)
    stack.report(health(watcher="watch-1/4711", resources=[resource]))
    known = {"If-None-Match": (await stack.http.get("/api/v1/status")).headers["ETag"]}
    assert (await cluster(stack))["state"] == "synced"
    stack.now = NOW + 91 * SECOND
    item = await cluster(stack)
    reason = "no watcher has reported since 12:00 UTC (the last one was watch-1/4711)"
    assert (item["state"], item["reason"], item["stale"]) == ("stale", reason, True)
    assert (item["since"], item["reportedAt"]) == ("2026-11-23T12:02:00Z", "2026-11-23T12:00:30Z")
    assert [(r["state"], r["reason"]) for r in item["resources"]] == [("stale", reason)]
    assert (await stack.http.get("/api/v1/status", headers=known)).status_code == 200
    (published,) = (await stack.get(f"/api/v1/clusters/{CLUSTER}/events"))["items"]
    assert published["state"]["state"] == "synced", "the history has what was published"
    stack.report(health(since=stack.now, last_contact=stack.now))
    assert (await cluster(stack))["state"] == "synced"


async def test_stopped_watcher_of_a_quiet_cluster_is_not_blamed_on_the_cluster(stack: Stack) -> None:
    """A quiet cluster is heard from once a minute, so it is stale before the watcher has been silent for 90 s."""
    stack.report(health(last_contact=NOW - 60 * SECOND))
    stack.now = NOW + 30 * SECOND
    assert (await cluster(stack))["state"] == "synced"
    stack.now = NOW + 31 * SECOND
    item = await cluster(stack)
    assert (item["state"], item["stale"], item["reason"]) == ("stale", True, "no watcher has reported since 12:00 UTC")


async def test_synced_cluster_that_sends_nothing_is_stale(stack: Stack) -> None:
    """Its watcher reports, and does not know it yet."""
    stack.report(health(last_contact=NOW - 91 * SECOND))
    item = await cluster(stack)
    assert (item["state"], item["since"]) == ("stale", "2026-11-23T12:00:29Z")
    assert item["reason"] == "nothing has been received from the cluster since 11:58 UTC"


async def test_unreachable_cluster_says_so_for_as_long_as_a_watcher_looks(stack: Stack) -> None:
    """Afterwards nobody knows, and the reason has both. It names the day when that is another one."""
    down = {"state": ConnectionState.UNREACHABLE, "reason": "connection refused", "since": NOW - 3600 * SECOND}
    stack.report(health(last_contact=NOW - 3600 * SECOND, **down))
    stack.now = NOW + 30 * SECOND
    item = await cluster(stack)
    assert (item["state"], item["reason"], item["stale"]) == ("unreachable", "connection refused", True)
    stack.now = NOW + timedelta(hours=20)
    item = await cluster(stack)
    assert item["state"] == "stale"
    assert item["reason"] == (
        "no watcher has reported since 2026-11-23 12:00 UTC; until then: unreachable, connection refused"
    )


async def test_api_without_nats_does_not_blame_the_watchers(stack: Stack) -> None:
    """It is the api that receives no report."""
    stack.report(health())
    stack.freshness.is_connected = lambda: False
    stack.now = NOW + 91 * SECOND
    assert (await cluster(stack))["reason"] == (
        "this api is not connected to NATS: no report of a watcher has arrived since 12:00 UTC"
    )


async def test_killed_watcher_becomes_stale_though_the_clock_of_nats_was_ahead(stack: Stack) -> None:
    """It was set back by an hour after the last report, and the cluster looked fresh for as long."""
    stack.now = NOW + timedelta(hours=1)
    stack.report(health(last_contact=stack.now))
    assert await stale(stack) == [False, False, False, False, 1]
    stack.now = NOW
    assert await stale(stack) == [True, True, True, True, 2]
    assert (await cluster(stack))["state"] == "stale"


async def test_killed_watcher_whose_clock_is_ahead_becomes_stale(stack: Stack) -> None:
    """The time at which NATS stored its last report counts."""
    stack.report(health(since=NOW + timedelta(days=1), last_contact=NOW + timedelta(days=1)))
    assert await stale(stack) == [False, False, False, False, 1]
    stack.now = NOW + 91 * SECOND
    assert await stale(stack) == [True, True, True, True, 2]
    assert (await cluster(stack))["state"] == "stale"


async def test_one_cluster_that_is_not_there(stack: Stack) -> None:
    """Unknown, or retired."""
    assert (await stack.http.get("/api/v1/clusters/none")).json()["type"] == "/docs#cluster-not-found"
    await stack.apply(cluster_event(state=ConnectionState.RETIRED, since=NOW))
    assert (await stack.http.get(f"/api/v1/clusters/{CLUSTER}")).status_code == 404


async def test_clusters_of_the_past_are_not_counted(stack: Stack) -> None:
    """Reports are not kept, so nobody knows which of them were stale."""
    answer = await stack.get("/api/v1/status", at=OBSERVED_AT.isoformat())
    assert answer["clustersByState"] is None


async def test_clusters_show_all_that_is_known_of_them(stack: Stack) -> None:
    """The newest: from the bucket while the watcher writes heartbeats, from the tables before."""
    (known,) = (await stack.get("/api/v1/clusters"))["items"]
    assert (known["name"], known["lastContact"]) == (CLUSTER, None)
    assert (known["state"], known["reason"]) == (
        "stale",
        "no watcher reports; the last change of state is of 07:00 UTC",
    )
    vms = ResourceHealth(
        resource="virtualmachines",
        state=ConnectionState.FORBIDDEN,
        since=NOW,
        reason="no list",
        last_event=NOW - 20 * SECOND,
        known_objects=7,
    )
    more = {"kubevirt_version": "v1.8.0", "credentials_expire_at": NOW + 60 * SECOND, "waiting_events": 3}
    newest = health(CLUSTER, since=NOW, last_contact=NOW - 5 * SECOND, reason="forbidden", resources=[vms], **more)
    stack.report(newest)
    answer = await stack.get("/api/v1/clusters")
    (shown,) = ClusterList.model_validate(answer).items
    assert shown == ClusterItem(**dict(newest), watched_since=None, stale=False, lag_seconds=5, reported_at=NOW)
    assert answer["items"][0]["resources"][0]["lastEvent"] == "2026-11-23T12:00:10Z"


async def test_change_of_state_in_the_tables_is_newer_than_an_older_heartbeat(stack: Stack) -> None:
    """The event of a change arrives before the next heartbeat."""
    before = cluster_event().data.since - SECOND
    stack.report(health(CLUSTER, state=ConnectionState.LISTING, since=before, last_contact=NOW))
    (shown,) = (await stack.get("/api/v1/clusters"))["items"]
    assert (shown["state"], shown["lastContact"]) == ("synced", "2026-11-23T12:00:30Z")


async def test_a_retired_cluster_is_not_shown_until_it_returns(stack: Stack) -> None:
    """Its VMs are not shown either, even if its last heartbeat is fresh; its next epoch brings both back."""
    stack.report(health(CLUSTER, last_contact=NOW))
    gone = placed_vm("a", type_=VmEventType.DELETED, epoch=1)
    await stack.apply(gone, cluster_event(state=ConnectionState.RETIRED, since=NOW))
    assert (await stack.get("/api/v1/clusters"))["items"] == []
    assert (await stack.get("/api/v1/vms", cluster=CLUSTER))["items"] == []
    assert (await stack.get("/api/v1/status"))["total_vms"] == 1
    await stack.apply(placed_vm("a", epoch=2), cluster_event(since=NOW + SECOND))
    assert [item["name"] for item in (await stack.get("/api/v1/clusters"))["items"]] == [CLUSTER]
    assert [item["name"] for item in (await stack.get("/api/v1/vms", cluster=CLUSTER))["items"]] == ["a"]


async def test_vm_added_by_hand_is_never_stale(stack: Stack) -> None:
    """It has no cluster that could become stale."""
    await stack.apply(unmanaged_event("c", cluster="by-hand"))
    (item,) = (await stack.get("/api/v1/vms", cluster="by-hand"))["items"]
    assert item["stale"] is False


async def test_heartbeats_of_a_replaced_bucket_are_followed(nats_url: str) -> None:
    """NATS lost its data: the sequences of the new bucket are below those of the old one."""
    freshness = Freshness()
    async with publisher(nats_url) as client:

        async def is_received(contact: datetime) -> None:
            bucket = await client.jetstream().key_value(HEALTH_BUCKET)
            for _ in range(3):
                await bucket.put("dc-solna.vulcan", health("vulcan", last_contact=contact).model_dump_json().encode())
            await until(last_contacts, lambda found: found == [contact])

        async def last_contacts() -> list[datetime | None]:
            return [report.health.last_contact for report in freshness.reports()]

        following = asyncio.create_task(follow(client, freshness))
        await is_received(NOW)
        await client.jetstream().delete_key_value(HEALTH_BUCKET)
        await ensure_stream(client)
        await is_received(NOW + timedelta(seconds=10))
        await end(following)
