"""What a stream has to be for what we promise of it, and how a person mends one that is not.

A stream that exists is used as it is: how long and on how many servers it keeps what, an operator decides. It is
refused only if it would lose or refuse messages that readers need.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from nats.js.api import RetentionPolicy, StorageType, StreamConfig


@dataclass(frozen=True, kw_only=True)
class Promises:
    """Of one stream, or of the stream behind a bucket."""

    stream: str
    what: str
    """What the stream is, for people."""
    needed: Mapping[str, Any] = field(default_factory=dict)
    """Members of its configuration without which nothing works. A stream that lacks them gets them."""
    is_log: bool = False
    """It keeps everything, over restarts, and nobody can take anything out of it."""
    least_age_seconds: float = 0
    """It must keep messages for so long."""


def broken(config: StreamConfig, promises: Promises) -> str | None:
    """Why a stream cannot be used, and the command that mends it; None when it can be."""
    return next(_broken(config, promises), None)


def _broken(config: StreamConfig, promises: Promises) -> Iterator[str]:
    edit, remove = f"nats stream edit {promises.stream}", f"nats stream rm {promises.stream}"
    again = f"a new one is made at the next start, after {remove!r}"
    if promises.is_log and config.storage == StorageType.MEMORY:
        yield f"it is kept in memory, and a restart of NATS would lose it; {again}"
    if config.retention == RetentionPolicy.WORK_QUEUE:
        yield f"it is a work queue, in which what one reader has read is gone for all others; {again}"
    if config.retention == RetentionPolicy.INTEREST:
        yield f"it drops what its present readers have read; run {edit + ' --retention limits'!r}"
    if promises.is_log and not (config.deny_delete and config.deny_purge):
        yield f"messages can be deleted from it; run {edit + ' --deny-delete --deny-purge'!r}"
    if promises.is_log and config.max_msgs_per_subject > 0:
        yield (
            f"it keeps only {config.max_msgs_per_subject} messages of each subject, and a reader that is behind would "
            f"miss some; run {edit + ' --max-msgs-per-subject=-1'!r}"
        )
    if config.discard_new_per_subject:
        yield f"it refuses new messages of a subject that has some; run {edit + ' --no-discard-per-subject'!r}"
    if config.no_ack:
        yield f"it confirms no message; run {edit + ' --ack'!r}"
    if config.sealed:
        yield f"it is sealed, and takes no message; {again}"
    if 0 < (config.max_age or 0) < promises.least_age_seconds:
        seconds = f"{promises.least_age_seconds:g}s"
        yield f"it keeps messages for {config.max_age:g} s only; run {f'{edit} --max-age {seconds}'!r}"
