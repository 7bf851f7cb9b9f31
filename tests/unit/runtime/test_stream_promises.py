"""Which configurations of a stream that exists cannot be used, and what mends them."""

from dataclasses import replace
from typing import Any

import pytest
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig

from summit_runtime.nats.streams import heartbeats, leases
from summit_runtime.nats.streams.promises import broken
from summit_runtime.nats.streams.stream import PROMISES, stream_config


@pytest.mark.parametrize(
    ("changes", "mended_by"),
    [
        ({"storage": StorageType.MEMORY}, "nats stream rm SUMMIT"),
        ({"retention": RetentionPolicy.WORK_QUEUE}, "nats stream rm SUMMIT"),
        ({"retention": RetentionPolicy.INTEREST}, "nats stream edit SUMMIT --retention limits"),
        ({"deny_delete": False}, "nats stream edit SUMMIT --deny-delete --deny-purge"),
        ({"deny_purge": False}, "nats stream edit SUMMIT --deny-delete --deny-purge"),
        ({"max_msgs_per_subject": 5}, "nats stream edit SUMMIT --max-msgs-per-subject=-1"),
        ({"discard_new_per_subject": True}, "nats stream edit SUMMIT --no-discard-per-subject"),
        ({"no_ack": True}, "nats stream edit SUMMIT --ack"),
        ({"sealed": True}, "nats stream rm SUMMIT"),
    ],
)
def test_a_log_that_would_lose_or_refuse_events_is_not_used(changes: dict[str, Any], mended_by: str) -> None:
    """The sentence ends with a command of the `nats` command line."""
    reason = broken(replace(stream_config(), **changes), PROMISES)
    assert reason
    assert reason.endswith(f"'{mended_by}'")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"num_replicas": 3},
        {"max_age": 3600.0},
        {"max_age": 0},
        {"max_bytes": 10**9},
        {"max_bytes": 10**9, "discard": DiscardPolicy.NEW},
        {"allow_rollup_hdrs": True},
        {"description": "mine"},
    ],
)
def test_how_long_and_where_a_log_is_kept_is_the_operators_choice(changes: dict[str, Any]) -> None:
    """A log that refuses new events when it is full makes them wait."""
    assert broken(replace(stream_config(), **changes), PROMISES) is None


@pytest.mark.parametrize("bucket", [heartbeats, leases])
def test_buckets_may_have_a_history_and_lie_in_memory(bucket: Any) -> None:
    """What they have is written again within seconds. But nobody may take entries out by reading them."""
    config = StreamConfig(name=bucket.STREAM, max_msgs_per_subject=5, storage=StorageType.MEMORY)
    assert broken(config, bucket.PROMISES) is None
    assert broken(replace(config, retention=RetentionPolicy.INTEREST), bucket.PROMISES)


def test_a_bucket_that_forgets_too_soon_is_not_used() -> None:
    """A lease must not expire between two renewals."""
    reason = broken(StreamConfig(name=leases.STREAM, max_age=1.0), leases.PROMISES)
    assert reason == "it keeps messages for 1 s only; run 'nats stream edit KV_summit-leases --max-age 3s'"
