"""A stream and buckets that exist already: used as they are, unless they cannot hold what is promised."""

import logging
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from nats.js.api import KeyValueConfig, StorageType
from pydantic import SecretStr

from summit_models.subject import HEALTH_BUCKET, LEASE_BUCKET, STREAM
from summit_runtime.nats.connection import bus
from summit_runtime.nats.connection.storage import Storage
from summit_runtime.nats.publishing.append import store
from summit_runtime.nats.streams import leases
from summit_runtime.nats.streams.repeating import repeat_after
from summit_runtime.nats.streams.stream import ensure_stream, stream_config
from summit_runtime.process import FatalError
from summit_standalone.embedded.nats import embedded_nats


async def test_buckets_that_an_operator_has_changed_are_used(nats_url: str) -> None:
    """Watcher and projector refused to start, and blamed the stream: the bucket had a history of five."""
    async with bus.connected(SecretStr(nats_url), name="test") as client:
        jetstream = client.jetstream()
        for bucket in (HEALTH_BUCKET, LEASE_BUCKET):  # as `nats kv add --history 5` makes it
            await jetstream.create_key_value(KeyValueConfig(bucket=bucket, history=5))
        await ensure_stream(client)
        found = await jetstream.stream_info(leases.STREAM)
        assert found.config.max_msgs_per_subject == 5
        assert found.config.subject_delete_marker_ttl == leases.MARKER_SECONDS
        await store(client, f"$KV.{LEASE_BUCKET}.cluster.d.c", b"{}", {"Nats-TTL": "3s"}, 5)


async def test_settings_are_for_what_is_made_and_change_nothing_that_exists(
    nats_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has the command that changes the number of replicas."""
    caplog.set_level(logging.INFO, "summit.nats")
    async with bus.connected(SecretStr(nats_url), name="test") as client:
        await ensure_stream(client, Storage(max_bytes=10_000_000))
        await ensure_stream(client, Storage(replicas=3, max_bytes=20_000_000))
        found = await client.jetstream().stream_info(STREAM)
        assert (found.config.max_bytes, found.config.num_replicas) == (10_000_000, 1)
    assert "'nats stream edit SUMMIT --replicas 3'" in caplog.text
    assert "'nats stream edit KV_summit-leases --replicas 3'" in caplog.text


async def test_a_log_that_drops_events_early_gets_the_states_again_sooner(nats_url: str) -> None:
    """With a log of limited size the last event of a VM that did not change for a month had left it."""
    async with bus.connected(SecretStr(nats_url), name="test") as client:
        await ensure_stream(client)
        month, now = timedelta(days=30), client.clock.now()
        for n in range(3):
            await client.jetstream().publish(f"ingest.summit.vms.d.c.n.v{n}", b"{}")
        assert await repeat_after(client, now, month) == month
        await client.jetstream().update_stream(replace(stream_config(), max_msgs=2))
        later = await repeat_after(client, now + timedelta(days=6), month)
        assert timedelta(days=1.9) < later < timedelta(days=2.1)


async def test_replicas_on_a_single_server_are_refused(tmp_path: Path) -> None:
    """The sentence names the setting."""
    async with embedded_nats(tmp_path / "nats") as url, bus.connected(SecretStr(url), name="test") as client:
        with pytest.raises(FatalError, match="set NATS_REPLICAS to 1, or make NATS a cluster"):
            await ensure_stream(client, Storage(replicas=3))


async def test_a_log_in_memory_stops_the_start(nats_url: str) -> None:
    """The sentence names the stream, what it would lose, and what to do."""
    async with bus.connected(SecretStr(nats_url), name="test") as client:
        await client.jetstream().add_stream(replace(stream_config(), storage=StorageType.MEMORY, compression=None))
        with pytest.raises(FatalError) as refused:
            await ensure_stream(client)
    assert str(refused.value) == (
        "the stream 'SUMMIT' cannot be used as it is: it is kept in memory, and a restart of NATS would lose it; "
        "a new one is made at the next start, after 'nats stream rm SUMMIT'"
    )
