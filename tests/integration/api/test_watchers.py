"""GET /api/v1/watchers, and who has each cluster in GET /api/v1/clusters: by the leases, as far as one may see it."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.api_stack import NOW, Stack, api_stack, health
from support.published import CLUSTER, DATACENTER, cluster_event

from summit_api.access import tokens
from summit_api.access.identify import Access
from summit_api.access.policy import PolicyFile
from summit_api.access.principal import Role
from summit_models.contract import ClusterName, DatacenterId
from summit_models.watcher import Lease, Member, Place
from summit_runtime.nats.streams.consumer import StreamMessage
from summit_runtime.nats.streams.leases import lease_subject, member_subject

HERE_ONLY, NAMESPACE_ONLY = tokens.new_token(), tokens.new_token()
ACCESS = f"""tokens:
- {{name: here, role: viewer, datacenters: [{DATACENTER}], sha256: {tokens.digest(HERE_ONLY)}}}
- {{name: prod, role: viewer, namespaces: [prod], sha256: {tokens.digest(NAMESPACE_ONLY)}}}
"""
SINCE = NOW - timedelta(minutes=5)
FIRST = Member(watcher="watch-1/4711", run="f00", since=SINCE, version="0.1.0")
SECOND = Member(
    watcher="watch-2/8",
    run="ba5",
    since=NOW,
    version="0.1.0",
    datacenters=[DatacenterId("dc-uppsala")],
)
HERE = Place(DatacenterId(DATACENTER), ClusterName(CLUSTER))
THERE = Place(DatacenterId("dc-uppsala"), ClusterName("romulus"))


def show(stack: Stack, subject: str, holder: Member | Lease | None) -> None:
    """Receive an entry of the bucket; None: it has expired."""
    body = holder.model_dump_json().encode() if holder else b""
    stack.freshness.leases.take_in(StreamMessage(1, subject, body, 0))


def hold(stack: Stack, place: Place, member: Member) -> None:
    lease = Lease(watcher=member.watcher, run=member.run, since=NOW - timedelta(minutes=1))
    show(stack, lease_subject(place), lease)


@pytest.fixture
async def stack(database_url: str, tmp_path: Path) -> AsyncIterator[Stack]:
    """One cluster in the tables, and two watchers with a cluster each."""
    (tmp_path / "access.yaml").write_text(ACCESS)
    access = Access(anonymous=Role.VIEWER, policy=PolicyFile(tmp_path / "access.yaml"))
    async with api_stack(database_url, access) as stack:
        await stack.apply(cluster_event())
        for member in (SECOND, FIRST):
            show(stack, member_subject(member), member)
        hold(stack, HERE, FIRST)
        hold(stack, THERE, SECOND)
        yield stack


def item(member: Member, *clusters: str) -> dict[str, Any]:
    since = member.model_dump(mode="json")["since"]
    shown = {"id": member.watcher, "datacenters": member.datacenters, "version": member.version}
    return {**shown, "clusters": list(clusters), "since": since}


async def test_watchers_are_listed_with_the_clusters_that_they_have(stack: Stack) -> None:
    """The oldest first; one that has ended is not there, nor is its cluster anybody's."""
    answer = await stack.get("/api/v1/watchers")
    assert answer["items"] == [item(FIRST, CLUSTER), item(SECOND, "romulus")]
    assert answer["revision"] == 1
    show(stack, member_subject(FIRST), None)
    show(stack, lease_subject(HERE), None)
    assert (await stack.get("/api/v1/watchers"))["items"] == [item(SECOND, "romulus")]


async def test_a_cluster_shows_who_has_it_since_when(stack: Stack) -> None:
    """The lease is newer than the last report; without one it is who had it last."""
    stack.report(health(CLUSTER, watcher="watch-0/1"))
    shown = await stack.get(f"/api/v1/clusters/{CLUSTER}")
    assert (shown["watcher"], shown["watchedSince"]) == (FIRST.watcher, "2026-11-23T11:59:30Z")
    show(stack, lease_subject(HERE), None)
    shown = await stack.get(f"/api/v1/clusters/{CLUSTER}")
    assert (shown["watcher"], shown["watchedSince"]) == ("watch-0/1", None)


async def test_the_same_list_is_answered_304_until_a_cluster_goes_to_another_watcher(stack: Stack) -> None:
    """Renewals change nothing."""
    known = (await stack.http.get("/api/v1/watchers")).headers["ETag"]
    hold(stack, HERE, FIRST)
    assert (await stack.http.get("/api/v1/watchers", headers={"If-None-Match": known})).status_code == 304
    hold(stack, HERE, SECOND)
    changed = await stack.http.get("/api/v1/watchers", headers={"If-None-Match": known})
    assert [shown["clusters"] for shown in changed.json()["items"]] == [[], sorted([CLUSTER, "romulus"])]


async def test_a_limit_to_datacenters_hides_other_watchers_and_one_to_namespaces_hides_all(stack: Stack) -> None:
    """Names of machines are nothing that a tenant of a namespace needs."""

    async def seen(token: str) -> list[dict[str, Any]]:
        answer = await stack.http.get("/api/v1/watchers", headers={"Authorization": f"Bearer {token}"})
        items: list[dict[str, Any]] = answer.json()["items"]
        return items

    hold(stack, THERE, FIRST)
    assert await seen(HERE_ONLY) == [item(FIRST, CLUSTER)]
    assert await seen(NAMESPACE_ONLY) == []
    headers = {"Authorization": f"Bearer {NAMESPACE_ONLY}"}
    shown = (await stack.http.get(f"/api/v1/clusters/{CLUSTER}", headers=headers)).json()
    assert (shown["watcher"], shown["watchedSince"]) == (None, None)
