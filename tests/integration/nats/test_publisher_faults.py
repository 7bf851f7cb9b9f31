"""Publishing to a server that refuses, forgets, stalls or is full: nothing is lost or overtaken."""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from support.nats_server import nats_server, stored
from support.program import frozen
from support.waiting import until

from summit_models.contract import ClusterName, DatacenterId
from summit_runtime.nats.connection import bus
from summit_runtime.nats.connection.bus import NatsTimes
from summit_runtime.nats.publishing import acknowledged, denied, fair_queue
from summit_runtime.nats.publishing.fast_batch import Message
from summit_runtime.nats.publishing.publisher import Publisher, publishing
from summit_runtime.nats.streams.stream import ensure_stream
from summit_runtime.process import FatalError
from summit_standalone.embedded.child import Child

DEADLINE_SECONDS = 30.0
OFTEN = NatsTimes(loss_check_seconds=0.05)


@asynccontextmanager
async def connected(url: str, **times: Any) -> AsyncIterator[bus.EventClient]:
    """A client of a server whose stream exists."""
    async with bus.connected(SecretStr(url), name="test", times=NatsTimes(**times)) as client:
        await ensure_stream(client)
        yield client


async def publish(to: Publisher, numbers: Iterable[int], *, body: bytes = b"") -> None:
    for n in numbers:
        await to.publish(f"summit.vms.d.c.n.v{n % 7}", str(n).encode() + body, f"id-{n}")


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Callable[[str], bool]:
    """Whether a log line contains a text."""
    return lambda text: text in caplog.text


async def test_events_that_a_server_lost_at_its_end_are_sent_again_in_their_place(
    tmp_path: Path, logged: Callable[[str], bool]
) -> None:
    """A power failure cuts the log's end: confirmed events go before those that came since, and nothing restarts."""
    directory = tmp_path / "nats"
    async with nats_server(directory) as (address, _):
        client = await bus.connect(SecretStr(f"nats://{address}"), name="test")
        await ensure_stream(client)
        publishing_all = publishing(client)
        writer = await publishing_all.__aenter__()
        await publish(writer, range(100))
        await writer.flush()
    shutil.copytree(directory / "jetstream", tmp_path / "older")
    async with nats_server(directory):
        await publish(writer, range(100, 300))
        await asyncio.wait_for(writer.flush(), DEADLINE_SECONDS)
    shutil.rmtree(directory / "jetstream")
    shutil.move(tmp_path / "older", directory / "jetstream")
    await publish(writer, range(300, 310))
    async with nats_server(directory):
        await asyncio.wait_for(writer.flush(), DEADLINE_SECONDS)
        assert await stored(client) == list(range(310))
        await publishing_all.__aexit__(None, None, None)
        await bus.close(client)
    assert logged("NATS has lost 200 events that it had confirmed")


async def test_events_that_are_lost_before_their_batch_ends_are_noticed(tmp_path: Path) -> None:
    """The server acknowledges them without a place in the log; the newest known place is before them."""
    async with nats_server(tmp_path / "nats") as (address, _), connected(f"nats://{address}") as client:
        remembered = acknowledged.Acknowledged(client)
        assert await remembered.check() == ()
        messages = [Message("ingest.summit.vms.d.c.n.v", str(n).encode(), f"id-{n}") for n in range(5)]
        remembered.stored(messages)
        for message in messages[:3]:
            await client.jetstream().publish(message.subject, message.body, headers={"Nats-Msg-Id": message.id})
        remembered.reconnects = -1
        assert await remembered.check() == messages[3:]


async def test_a_writer_restarts_when_the_log_lost_more_than_it_remembers(tmp_path: Path) -> None:
    """After a restore from a backup only a restart, which compares lists with the log, publishes what is missing."""
    directory = tmp_path / "nats"
    async with nats_server(directory) as (address, _):
        client = await bus.connect(SecretStr(f"nats://{address}"), name="test", times=OFTEN)
        await ensure_stream(client)
    shutil.copytree(directory / "jetstream", tmp_path / "older")
    writer = Publisher(client)
    subscription = None
    async with nats_server(directory):
        await until(lambda: client.is_connected)
        subscription = await client.subscribe(f"{writer.inbox}.>", cb=writer.answer)
        running = asyncio.create_task(writer.run())
        for start in range(0, 2 * acknowledged.RECENT_EVENTS, 1000):
            await publish(writer, range(start, start + 1000))
            await asyncio.wait_for(writer.flush(), DEADLINE_SECONDS)
    shutil.rmtree(directory / "jetstream")
    shutil.move(tmp_path / "older", directory / "jetstream")
    async with nats_server(directory):
        with pytest.raises(FatalError, match=r"lost events that it had stored.*restarts"):
            await asyncio.wait_for(running, DEADLINE_SECONDS)
        await subscription.unsubscribe()
        await bus.close(client)


async def test_a_writer_that_wrote_nothing_notices_a_log_that_was_restored(tmp_path: Path) -> None:
    """Its memory is newer than the log, though nothing has happened in its cluster since."""
    directory = tmp_path / "nats"
    async with nats_server(directory) as (address, _):
        url = f"nats://{address}"
        async with connected(url):
            pass
    shutil.copytree(directory / "jetstream", tmp_path / "older")
    async with nats_server(directory):
        other = await bus.connect(SecretStr(url), name="other")
        idle = Publisher(await bus.connect(SecretStr(url), name="idle", times=OFTEN))
        async with publishing(other) as writer:
            await publish(writer, range(3))
            await writer.flush()
        running = asyncio.create_task(idle.run())
        await until(lambda: idle._acknowledged._places)  # nothing else shows that it has looked
    shutil.rmtree(directory / "jetstream")
    shutil.move(tmp_path / "older", directory / "jetstream")
    async with nats_server(directory):
        with pytest.raises(FatalError, match="restarts"):
            await asyncio.wait_for(running, DEADLINE_SECONDS)
        for client in (other, idle.client):
            await bus.close(client)


def user(rights: str) -> str:
    return f"authorization {{ users: [ {{ user: few, password: p, permissions: {{ {rights} }} }} ] }}"


def permit(directory: Path, server: Child, rights: str, now: str = "") -> None:
    """Change what the user may do, in the running server."""
    config = directory / "nats.conf"
    config.write_text(config.read_text().replace(rights, now))
    os.kill(server.pid or 0, signal.SIGHUP)


async def test_events_that_may_not_be_published_wait_and_hold_up_no_others(
    tmp_path: Path, logged: Callable[[str], bool]
) -> None:
    """The reason is logged once, with the missing permission; when that is granted, they are stored in their order."""
    directory, rights = (
        tmp_path / "nats",
        'publish: { deny: ["ingest.summit.vms.d.c.n.v3", "ingest.summit.vms.d.x.>"] }',
    )
    async with nats_server(directory, more=user(rights)) as (address, server):  # noqa: SIM117  one needs the other
        async with (
            connected(f"nats://few:p@{address}", denied_retry_seconds=(0.05, 0.1)) as client,
            publishing(client) as writer,
        ):
            for n in range(700):
                place = "d.x" if n % 7 == 5 else "d.c"
                await writer.publish(f"summit.vms.{place}.n.v{n % 7}", str(n).encode(), f"id-{n}")
            await until(lambda: (writer.published, writer.denied, writer.unacknowledged) == (500, 200, 200))
            assert await stored(client) == [n for n in range(700) if n % 7 not in (3, 5)]
            await publish(writer, range(700, 714))
            await until(lambda: writer.published == 512)
            assert logged("such as 'ingest.summit.vms.d.c.n.v3': give that user the permission to publish "
                        "'ingest.summit.vms.d.c.>'")  # fmt: skip
            permit(directory, server, rights, rights.replace("v3", "other"))
            await until(lambda: writer.denied == 100)
            assert [n for n in await stored(client) if n % 7 == 3] == list(range(3, 714, 7))
            permit(directory, server, rights.replace("v3", "other"))
            await asyncio.wait_for(writer.flush(), DEADLINE_SECONDS)
            assert [n for n in await stored(client) if n < 700 and n % 7 == 5] == list(range(5, 700, 7))
    assert logged("NATS stores events again that it did not permit before")


async def test_events_that_wait_for_a_permission_are_bounded_and_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As many wait as for a NATS that is away; then their cluster waits, and only that one."""
    rights = 'publish: { deny: ["ingest.summit.vms.d.x.>"] }'
    async with nats_server(tmp_path / "nats", more=user(rights)) as (address, _):  # noqa: SIM117  one needs the other
        async with (
            connected(f"nats://few:p@{address}", denied_retry_seconds=(0.05, 0.1)) as client,
            publishing(client) as writer,
        ):
            for n in range(fair_queue.WINDOW_EVENTS):
                await writer.publish(f"summit.vms.d.x.n.v{n}", b"", f"x-{n}")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(writer.publish("summit.vms.d.x.n.more", b"", "more"), 0.1)
            await until(lambda: writer.denied >= fair_queue.WINDOW_EVENTS - denied.TRIED_AT_ONCE)
            await publish(writer, range(3000))
            await asyncio.wait_for(writer.cluster_queue(DatacenterId("d"), ClusterName("c")).flush(), DEADLINE_SECONDS)
            assert await stored(client) == list(range(3000))
    assert len([line for line in caplog.messages if "does not permit" in line]) == 1


async def test_one_cluster_that_changes_without_end_does_not_keep_others_waiting(tmp_path: Path) -> None:
    """They take turns: behind two thousand events of one, the event of another is among the next."""
    async with nats_server(tmp_path / "nats") as (address, _), connected(f"nats://{address}") as client:
        writer = Publisher(client)
        for n in range(fair_queue.WINDOW_EVENTS):
            await writer.publish(f"summit.vms.d.noisy.n.v{n % 7}", str(n).encode(), f"noisy-{n}")
        await writer.publish("summit.vms.d.quiet.n.v", b"-1", "quiet")
        subscription = await client.subscribe(f"{writer.inbox}.>", cb=writer.answer)
        running = asyncio.create_task(writer.run())
        await asyncio.wait_for(writer.flush(), DEADLINE_SECONDS)
        assert (await stored(client)).index(-1) == 1
        running.cancel()
        await subscription.unsubscribe()


async def test_a_user_who_may_not_read_the_log_publishes_all_the_same(
    tmp_path: Path, logged: Callable[[str], bool]
) -> None:
    """Only lost events cannot be noticed then; this is logged once, and costs no waiting."""
    often = {"loss_check_seconds": 0.05, "stored_message_seconds": 0.3}
    rights = 'publish: { deny: ["$JS.API.STREAM.MSG.GET.>"] }'
    async with nats_server(tmp_path / "nats", more=user(rights)) as (address, _):  # noqa: SIM117  one needs the other
        async with connected(f"nats://few:p@{address}", **often) as client, publishing(client) as writer:
            await publish(writer, range(3))
            await asyncio.wait_for(writer.flush(), DEADLINE_SECONDS)
            await until(lambda: logged("whether NATS loses events cannot be checked"))
            await publish(writer, range(3, 6))
            await asyncio.wait_for(writer.flush(), 3)
            assert await stored(client) == list(range(6))


async def test_a_full_disk_is_waited_out(tmp_path: Path, logged: Callable[[str], bool]) -> None:
    """The server answers 503; events wait in order, and are stored when there is room."""
    async with nats_server(tmp_path / "nats", jetstream="max_file: 1M") as (address, _):
        client = await bus.connect(SecretStr(f"nats://{address}"), name="test")
        await ensure_stream(client)
        writing = publishing(client)
        writer = await writing.__aenter__()
        await publish(writer, range(60), body=b" " + os.urandom(16_000).hex().encode())
        await until(lambda: logged("NATS does not store events (insufficient resources"))
    async with nats_server(tmp_path / "nats"):
        await asyncio.wait_for(writer.flush(), DEADLINE_SECONDS)
        assert await stored(client) == list(range(60))
        await writing.__aexit__(None, None, None)
        await bus.close(client)


async def test_a_server_that_stalls_gets_everything_once_and_in_order(
    tmp_path: Path, logged: Callable[[str], bool]
) -> None:
    """When it continues, the events that were sent before and those that were sent again meet there."""
    async with (
        nats_server(tmp_path / "nats") as (address, server),
        connected(f"nats://{address}", answer_seconds=0.3) as client,
    ):
        async with publishing(client) as writer, asyncio.TaskGroup() as tasks:
            tasks.create_task(publish(writer, range(5000)))
            await until(lambda: writer.published > 1000)
            with frozen([server.pid or 0]):
                await until(lambda: logged("no answer within"))
                assert writer.unacknowledged <= fair_queue.WINDOW_EVENTS
            await until(lambda: writer.published == 5000)
        assert await stored(client) == list(range(5000))
