"""A cluster of three NATS servers: streams on all of them, readers of servers that are behind, a lost majority."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from pydantic import SecretStr
from support.nats_cluster import NatsCluster, nats_cluster
from support.nats_server import stored
from support.program import frozen
from support.published import unmanaged_event
from support.waiting import until

from summit_models.contract import Revision
from summit_models.subject import subject_of
from summit_models.watcher import Holder
from summit_runtime.nats.connection import bus
from summit_runtime.nats.connection.bus import EventClient
from summit_runtime.nats.connection.storage import Storage
from summit_runtime.nats.publishing.append import Basis, NotStoredError, append
from summit_runtime.nats.publishing.availability import Availability
from summit_runtime.nats.publishing.publisher import publishing
from summit_runtime.nats.streams import leases
from summit_runtime.nats.streams.consumer import last_per_subject
from summit_runtime.nats.streams.stream import ensure_stream
from summit_runtime.waiting import end
from summit_watcher.leases.entry import Entry
from summit_watcher.settings import TIMES

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
async def calm_cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[NatsCluster]:
    async with nats_cluster(tmp_path_factory.mktemp("cluster")) as servers:
        yield servers


@pytest.fixture
async def client(calm_cluster: NatsCluster) -> AsyncIterator[EventClient]:
    await calm_cluster.remove_streams()
    async with bus.connected(SecretStr(calm_cluster.url), name="test") as client:
        await ensure_stream(client, Storage(replicas=3))
        yield client


async def test_all_events_keep_their_order_when_the_leader_is_killed(
    calm_cluster: NatsCluster, client: EventClient
) -> None:
    """What it had confirmed the others have, and what it had not is sent to the next leader."""
    count = 12_000
    async with publishing(client) as publisher:

        async def publish_all() -> None:
            for n in range(count):
                await publisher.publish(f"summit.vms.d.c.n.v{n % 500}", str(n).encode(), f"id-{n}")

        publishing_all = asyncio.create_task(publish_all())
        await until(lambda: publisher.published >= count // 3)
        leader = await calm_cluster.leader(client)
        await leader.kill()
        await until(lambda: publisher.published == count)
        await leader.start()
        await publishing_all
    assert await stored(client) == list(range(count))


async def test_what_was_just_stored_is_read_from_whichever_server_answers(client: EventClient) -> None:
    """Readers lie on any of the servers, and two of three are a moment behind the leader."""
    revision = Revision(0)
    for n in range(60):
        event = unmanaged_event().model_copy(update={"id": f"event-{n}"})
        revision = await append(client, [event], Basis(subject_of(event), revision))
        read = [message.sequence async for message in last_per_subject(client, "summit.vms.>")]
        assert read[-1] == revision


async def test_a_lease_is_not_given_up_while_its_renewal_is_on_its_way(
    calm_cluster: NatsCluster, client: EventClient
) -> None:
    """The leader refuses the next renewal, too, until the others have the first one: it looked like another's lease."""
    leader = await calm_cluster.leader(client, leases.STREAM)
    holder = Holder(watcher="a", run="a", since=client.clock.now())
    times = replace(TIMES, lease_seconds=30, lease_answer_seconds=0.5)
    others = [server.pid for server in calm_cluster.servers.values() if server is not leader]
    async with bus.connected(SecretStr(leader.url), name="watcher") as watcher:
        ours = Entry(watcher, "$KV.summit-leases.cluster.d.c", holder, times)
        assert await ours.take()
        with frozen(others):
            for _ in range(2):
                with pytest.raises(NotStoredError):
                    await ours.renew()
        await until(lambda: renewed(ours))


async def renewed(ours: Entry) -> bool:
    with contextlib.suppress(NotStoredError):
        assert await ours.renew()
        return True
    return False


async def test_a_lost_majority_is_reported_and_its_return(calm_cluster: NatsCluster, client: EventClient) -> None:
    """The last server still answers pings, so the connection looked well."""
    availability = Availability(client)
    following = asyncio.create_task(availability.follow(0.2))
    await until(lambda: client.is_connected and availability.trouble is None)
    lost = list(calm_cluster.servers.values())[1:]
    for server in lost:
        await server.kill()
    await until(lambda: client.is_connected and availability.trouble)
    for server in lost:
        await server.start()
    await until(lambda: client.is_connected and availability.trouble is None)
    await end(following)
