"""Between two outages: what is not certain is not applied, and what has passed is reported to have passed."""

from dataclasses import replace

import pytest
from nats.errors import Error as NatsError
from pydantic import SecretStr
from support.projecting import Readings, projector, projector_settings, publish, publisher
from support.published import cluster_event, messages, vm_event
from support.waiting import until

from summit_models.cluster import ConnectionState
from summit_projector.apply_loop import ApplyLoop, Health
from summit_projector.progress import Progress
from summit_projector.settings import TIMES
from summit_projector.tables.retention import Retention
from summit_projector.tables.writer import open_writer
from summit_runtime.nats.connection import bus
from summit_runtime.nats.streams.consumer import consume
from summit_runtime.nats.streams.stream import ensure_stream, stream_state


async def test_messages_of_a_new_connection_wait_until_somebody_has_looked_at_the_stream(
    nats_url: str, database_url: str
) -> None:
    """The connection was lost again: they may follow a gap, and were applied because the look counted as done."""
    async with bus.connected(SecretStr(nats_url), name="test") as client:
        await ensure_stream(client)
        async with open_writer(SecretStr(database_url), TIMES) as writer, consume(client, after=0) as consumer:
            await writer.prepare()
            checkpoint = await writer.checkpoint((await stream_state(client)).created_at)
            progress = Progress(writer, checkpoint, {})
            loop = ApplyLoop(
                client=client,
                progress=progress,
                retention=Retention(writer.journal, TIMES),
                consumer=consumer,
                times=TIMES,
                stream_end=0,
                health=Health(),
            )
            await client.close()
            with pytest.raises(NatsError, match="before the stream could be compared"):
                await loop._apply(messages(vm_event("a")))
            assert progress.checkpoint == checkpoint
    assert await Readings(database_url).fetch("SELECT FROM vms") == []


async def test_stale_epochs_that_have_stopped_are_reported_to_have_stopped(
    nats_url: str, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The line about two watchers came every five minutes for ever, or never again."""
    times = replace(TIMES, check_seconds=0.1, stale_quiet_seconds=0.3)
    starts = [cluster_event(state=ConnectionState.STARTING, epoch=epoch) for epoch in (1, 2)]
    async with publisher(nats_url) as client, projector(projector_settings(nats_url, database_url), times):
        await Readings(database_url).applied(await publish(client, *starts, vm_event("a", epoch=1)))

        async def ended() -> list[str]:
            return [line for line in caplog.messages if "no event of a stale epoch" in line]

        await until(ended)
    assert sum("are ignored" in line for line in caplog.messages) == 1
