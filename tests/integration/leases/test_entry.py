"""One key of the bucket, on a real server: of any number that want it one has it, until that one leaves or dies."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from pydantic import SecretStr
from support.tcp_proxy import Proxy, tcp_proxy
from support.waiting import until
from support.watched import shown_leases

from summit_models.contract import ClusterName, DatacenterId
from summit_models.watcher import Lease, Place
from summit_runtime.nats.connection import bus
from summit_runtime.nats.connection.bus import EventClient
from summit_runtime.nats.publishing.append import NotStoredError
from summit_runtime.nats.streams.leases import BUCKET, STREAM, lease_subject
from summit_runtime.nats.streams.stream import ensure_stream
from summit_watcher.leases.entry import Entry
from summit_watcher.settings import WatcherTimes

PLACE = Place(DatacenterId("dc-solna"), ClusterName("vulcan"))
TIMES = WatcherTimes(lease_seconds=1, lease_answer_seconds=0.3)


@pytest.fixture
async def client(nats_url: str) -> AsyncIterator[EventClient]:
    async with bus.connected(SecretStr(nats_url), name="watcher") as client:
        await ensure_stream(client)
        yield client


def entry(client: EventClient, run: str, times: WatcherTimes = TIMES, *, cluster: str = PLACE.cluster) -> Entry:
    lease = Lease(watcher="watch-1/4711", run=run, since=client.clock.now())
    return Entry(client, lease_subject(Place(PLACE.datacenter, ClusterName(cluster))), lease, times)


async def test_of_many_that_take_a_key_at_once_one_has_it(client: EventClient) -> None:
    """And it stays with that one, whose renewals go on."""
    entries = [entry(client, str(n)) for n in range(20)]
    taken = await asyncio.gather(*(each.take() for each in entries))
    assert sum(taken) == 1
    owner = taken.index(True)
    for _ in range(3):
        renewed = await asyncio.gather(*(each.renew() for each in entries))
        assert [n for n, is_ours in enumerate(renewed) if is_ours] == [owner]


async def test_a_key_that_is_left_is_free_at_once(client: EventClient) -> None:
    """Also a second time, and one that is not ours any more is not deleted."""
    first, second = entry(client, "a"), entry(client, "b")
    for former, next_one in ((first, second), (second, entry(client, "a"))):
        assert await former.take() or await former.renew()
        assert not await next_one.take()
        await former.delete()
        assert await next_one.take()
        await former.delete()
        assert await next_one.renew()
        assert not await former.renew()


async def test_a_key_that_nobody_renews_expires_and_is_taken_over_its_marker(
    nats_url: str, client: EventClient
) -> None:
    """The owner may be suspended: when it wakes up, it has lost the key, and does not take it back."""
    first, second = entry(client, "a"), entry(client, "b")
    async with shown_leases(nats_url) as leases:
        assert await first.take()
        await until(leases.leases)
        await until(lambda: not leases.leases())
        assert await second.take()
        assert not await first.renew()
        assert await second.renew()


async def test_an_owner_that_returns_first_has_its_expired_key_again(nats_url: str, client: EventClient) -> None:
    """As after an outage of NATS, in which all keys expire."""
    first, second = entry(client, "a"), entry(client, "b")
    async with shown_leases(nats_url) as leases:
        assert await first.take()
        await until(leases.leases)
        await until(lambda: not leases.leases())
        assert await first.renew()
        assert not await second.take()


async def test_a_renewal_whose_answer_is_lost_is_not_taken_for_another_watchers(nats_url: str) -> None:
    """The next renewal finds our own lease, with a revision that we did not know."""
    async with tcp_proxy(nats_url) as proxy:
        proxy.marker = lease_subject(PLACE).encode() + b" _INBOX"
        async with bus.connected(SecretStr(proxy.url), name="watcher") as client:
            await ensure_stream(client)
            ours = entry(client, "a", replace(TIMES, lease_seconds=5))
            assert await ours.take()
            await lose_the_answer(proxy, ours)
            await until(lambda: client.is_connected)
            assert await ours.renew()


async def lose_the_answer(proxy: Proxy, ours: Entry) -> None:
    proxy.lose = "answer"
    with pytest.raises(NotStoredError):
        await ours.renew()
    assert proxy.lost == 1


async def test_a_key_without_an_end_is_nobodys_after_a_while(client: EventClient) -> None:
    """Somebody has put it there, or a restore of the bucket: nobody watched the cluster any more, without a line."""
    foreign = Lease(watcher="old/1", run="b", since=client.clock.now()).model_dump_json().encode()
    bodies = {"nonsense": b"nonsense", "foreign": foreign}
    for cluster, body in bodies.items():
        await client.jetstream().publish(lease_subject(Place(PLACE.datacenter, ClusterName(cluster))), body)
    ours = [entry(client, "a", cluster=cluster) for cluster in bodies]
    assert [await each.take() for each in ours] == [False, False]
    for each in ours:
        await until(each.take)
        assert await each.renew()


async def test_the_bucket_keeps_one_entry_of_a_key(client: EventClient) -> None:
    """With a longer history an older entry, which has no end, would return when the newest expires."""
    config = (await client.jetstream().stream_info(STREAM)).config
    assert (BUCKET.history, config.max_msgs_per_subject) == (1, 1)
    assert config.allow_msg_ttl
    assert config.subject_delete_marker_ttl
