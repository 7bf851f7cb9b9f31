"""NATS: stream, publisher and consumer against a real server that is stopped and started."""

import asyncio
import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr
from support.nats_server import nats_server, stored
from support.program import frozen
from support.waiting import until

from summit_models.subject import STREAM
from summit_runtime.nats.connection import bus
from summit_runtime.nats.connection.bus import EventClient, NatsTimes
from summit_runtime.nats.publishing.publisher import publishing
from summit_runtime.nats.streams.stream import MAX_EVENT_BYTES, ensure_stream, stream_config, stream_state, watch_stream
from summit_runtime.process import FatalError
from summit_runtime.waiting import end
from summit_standalone.directory import prepare_directory
from summit_standalone.embedded.child import Child, Program, kept_running
from summit_standalone.embedded.nats import _binary, embedded_nats
from summit_standalone.embedded.nats import nats_url as embedded_nats_url
from summit_standalone.embedded.server_process import choose_port

DEADLINE_SECONDS = 20.0


async def test_the_stream_is_created_once_and_kept(client: EventClient) -> None:
    """Each process creates it at its start if it is missing; the second one finds it."""
    created = (await stream_state(client)).created_at
    await ensure_stream(client)
    assert (await stream_state(client)).created_at == created


async def test_an_answer_to_a_ping_that_nobody_waits_for_does_not_deafen_the_client(client: EventClient) -> None:
    """A watcher that stopped while NATS did not answer read nothing more, so its last events were not confirmed."""
    nobody = asyncio.get_running_loop().create_future()
    nobody.cancel()
    await client._send_ping(nobody)
    await client.flush(timeout=5)
    assert (await stream_state(client)).created_at


async def test_a_task_that_is_cancelled_while_an_answer_comes_ends(client: EventClient) -> None:
    """It may happen at any moment, and a task of a group is cancelled only once."""

    async def ask_for_ever() -> None:
        while True:
            await client.jetstream().stream_info(STREAM)

    for moment in range(150):
        asking = asyncio.create_task(ask_for_ever())
        for _ in range(moment):
            await asyncio.sleep(0)
        asking.cancel()
        ended, _ = await asyncio.wait({asking}, timeout=2)
        await end(asking)
        assert ended


async def test_creating_the_stream_waits_for_a_server_that_is_not_ready(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """No process fails because NATS restarts while it starts."""
    port = choose_port(tmp_path)
    without_jetstream = Program("nats", (_binary(), "--addr", "127.0.0.1", "--port", str(port)))
    async with kept_running(replace(without_jetstream, log=tmp_path / "nats.log")):
        client = await bus.connect(
            SecretStr(embedded_nats_url(prepare_directory(tmp_path / "nats"), port)), name="test"
        )
        making = asyncio.create_task(ensure_stream(client))
        await until(lambda: "does not answer about the stream" in caplog.text)
    async with embedded_nats(tmp_path / "nats", port):
        await asyncio.wait_for(making, DEADLINE_SECONDS)
        assert (await stream_state(client)).last_sequence == 0
        await bus.close(client)


async def test_an_operators_changes_of_the_stream_stay(client: EventClient) -> None:
    """A year of history is not cut to ninety days by the next start."""
    year = 365 * 24 * 3600
    await client.jetstream().update_stream(replace(stream_config(), max_age=year))
    await ensure_stream(client)
    assert (await client.jetstream().stream_info(STREAM)).config.max_age == year


async def test_a_plain_subscriber_sees_exactly_the_log(client: EventClient, nats_url: str) -> None:
    """A duplicate is stored and republished once, under the public name, with its sequence."""
    outsider = await bus.connect(SecretStr(nats_url), name="outsider")
    feed = await outsider.subscribe("summit.vms.dc-solna.>")
    await outsider.flush()
    async with publishing(client) as publisher:
        for event_id in ("a", "a", "b"):
            await publisher.publish("summit.vms.dc-solna.vulcan.prod.web", event_id.encode(), event_id)
        await publisher.flush()
    seen = [await feed.next_msg(timeout=5) for _ in range(2)]
    assert [(m.data, (m.headers or {})["Nats-Sequence"]) for m in seen] == [(b"a", "1"), (b"b", "2")]
    assert feed.pending_msgs == 0
    await outsider.close()


async def test_a_flush_waits_for_the_events_before_it_and_for_no_others(client: EventClient) -> None:
    """One cluster can wait for its own events while the others go on."""
    async with publishing(client) as publisher:

        async def publish_for_ever() -> None:
            for n in itertools.count():
                await publisher.publish(f"summit.vms.d.c.n.v{n % 9}", b"{}", f"id-{n}")

        others = asyncio.create_task(publish_for_ever())
        await until(lambda: publisher.unacknowledged)
        await publisher.publish("summit.vms.d.c.n.mine", b"mine", "mine")
        await asyncio.wait_for(publisher.flush(), DEADLINE_SECONDS)
        assert not others.done()
        others.cancel()
        mine = await client.jetstream().get_last_msg(STREAM, "summit.vms.d.c.n.mine", direct=True)
        assert mine.data == b"mine"


async def test_all_events_keep_their_order_when_the_server_is_killed(tmp_path: Path) -> None:
    """After SIGKILL three times in mid-stream the log has all events, across subjects, in strict order."""
    count = 12_000
    servers: list[Child] = []
    async with embedded_nats(tmp_path / "nats") as url:
        port = int(url.rpartition(":")[2])
        client = await bus.connect(SecretStr(url), name="test")
        await ensure_stream(client)
    async with publishing(client) as publisher, asyncio.TaskGroup() as tasks:

        async def publish_all() -> None:
            for n in range(count):
                await publisher.publish(f"summit.vms.d.c.n.v{n % 500}", str(n).encode(), f"id-{n}")

        tasks.create_task(publish_all())
        for done in (count // 4, count // 2, 3 * count // 4):
            async with embedded_nats(tmp_path / "nats", port, servers.append):
                await until(lambda done=done: publisher.published >= done)  # type: ignore[misc]
                servers[-1].kill()
                await servers[-1].ended()
        async with embedded_nats(tmp_path / "nats", port):
            await until(lambda: publisher.published == count)
            assert await stored(client) == list(range(count))
    await bus.close(client)


async def test_an_event_that_is_too_large_within_a_burst_moves_no_other(
    client: EventClient, caplog: pytest.LogCaptureFixture
) -> None:
    """This holds for one that the stream refuses, and for one that would make the server close the connection."""
    too_large = {300: MAX_EVENT_BYTES, 700: client.max_payload + 1, 1499: MAX_EVENT_BYTES}
    async with publishing(client) as publisher:
        for n in range(1500):
            await publisher.publish(f"summit.vms.d.c.n.v{n}", str(n).encode().ljust(too_large.get(n, 0)), f"id-{n}")
        await asyncio.wait_for(publisher.flush(), DEADLINE_SECONDS)
        assert publisher.published == 1497
    assert await stored(client) == [n for n in range(1500) if n not in too_large]
    dropped = {r.getMessage().split()[1] for r in caplog.records if r.levelname == "ERROR"}
    assert dropped == {f"id-{n}" for n in too_large}


async def test_a_burst_is_stored_after_the_single_events_before_it(client: EventClient) -> None:
    """The publisher decides how many events it sends at once; some of these were stored before."""
    async with publishing(client) as publisher:
        for start in range(0, 3000, 1000):
            for n in range(start, start + 10):
                await publisher.publish("summit.vms.d.c.n.single", str(n).encode(), f"id-{n}")
                await publisher.flush()
            for n in range(max(0, start - 5), start + 1000):
                await publisher.publish(f"summit.vms.d.c.n.v{n % 7}", str(n).encode(), f"id-{n}")
        await asyncio.wait_for(publisher.flush(), DEADLINE_SECONDS)
    assert await stored(client) == list(range(3000))


async def test_a_log_that_stores_nothing_is_tried_for_ever_and_logged_once(
    nats_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Without the stream the server answers 503; once it exists the events are stored in order."""
    client = await bus.connect(SecretStr(nats_url), name="test")
    async with publishing(client) as publisher:
        for n in range(100):
            await publisher.publish(f"summit.vms.d.c.n.v{n}", str(n).encode(), f"id-{n}")
        await until(lambda: publisher._backoff.attempt >= 2)  # nothing else shows a second attempt
        assert publisher.unacknowledged == 100
        await ensure_stream(client)
        await asyncio.wait_for(publisher.flush(), DEADLINE_SECONDS)
    assert await stored(client) == list(range(100))
    lines = [r.getMessage() for r in caplog.records if "store" in r.getMessage()]
    assert lines[0] == (
        "NATS does not store events (no stream takes them: JetStream is not ready); trying again until it does"
    )
    assert [line.rpartition(", after ")[0] for line in lines[1:]] == ["NATS stores events again"]
    await bus.close(client)


async def test_a_stream_of_an_older_version_takes_batches_after_the_update(nats_url: str) -> None:
    """Streams created without `allow_batched` get it at the next start; nothing is stored twice."""
    client = await bus.connect(SecretStr(nats_url), name="test")
    before = stream_config()
    before.allow_batched = None
    await client.jetstream().add_stream(before)
    await ensure_stream(client)
    async with publishing(client) as publisher:
        await publisher.publish("summit.vms.d.c.n.web", b"{}", "id")
        await asyncio.wait_for(publisher.flush(), DEADLINE_SECONDS)
    assert (await stream_state(client)).last_sequence == 1
    await bus.close(client)


async def test_a_deleted_stream_is_created_again_and_its_writer_restarts(nats_url: str) -> None:
    """The events that the writer remembers publishing are gone; only a restart publishes them again."""
    client = await bus.connect(SecretStr(nats_url), name="test", times=NatsTimes(ping_seconds=0.05))
    await ensure_stream(client)
    watching = asyncio.create_task(watch_stream(client))
    created = (await stream_state(client)).created_at
    await client.jetstream().delete_stream(STREAM)
    with pytest.raises(FatalError, match="replaced by a new one"):
        await asyncio.wait_for(watching, DEADLINE_SECONDS)
    assert (await stream_state(client)).created_at > created
    await bus.close(client)


async def test_a_connection_outlives_a_server_that_stalls(tmp_path: Path) -> None:
    """A late answer to a ping must end neither the process nor the reading of nats-py."""
    async with nats_server(tmp_path / "nats") as (address, server):
        client = await bus.connect(SecretStr(f"nats://{address}"), name="test", times=NatsTimes(ping_seconds=0.05))
        watching = asyncio.create_task(bus.watch_connection(client))
        with frozen([server.pid or 0]):
            await asyncio.wait({watching}, timeout=2.5)
        await client.flush(timeout=10)
        assert (client.stats["reconnects"], watching.done()) == (0, False)
        await end(watching)
        await bus.close(client)


async def test_a_connection_that_is_silent_for_good_ends_the_process(tmp_path: Path) -> None:
    """When even nats-py does not give it up, only a restart helps."""
    async with nats_server(tmp_path / "nats") as (address, server):
        client = await bus.connect(
            SecretStr(f"nats://{address}"), name="test", times=NatsTimes(ping_seconds=0.05, dead_seconds=0.5)
        )
        with frozen([server.pid or 0]), pytest.raises(FatalError, match=r"not answered for 0\.5 s"):
            await asyncio.wait_for(bus.watch_connection(client), DEADLINE_SECONDS)
        await bus.close(client)
