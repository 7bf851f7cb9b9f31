"""The lines of a watch: cut out of the bytes as they come, and decoded to events."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

from summit_watcher.kube.errors import ErrorEvent, StatusError, UndecodableLine
from summit_watcher.kube.manifests.metadata import Manifest
from summit_watcher.kube.resources import Resource, WatchEvent

T = TypeVar("T", bound=Manifest)

BATCH_EVENTS = 256
"""A busy stream gives the event loop back at least so often, or one cluster would starve the others' idle timers."""
MAX_LINE_BYTES = 8 * 1024 * 1024
"""Objects in etcd are at most 1.5 MiB; a line that does not end is not one of them."""


def decoded(resource: Resource[T], lines: Sequence[bytes]) -> Iterator[Sequence[WatchEvent[T]]]:
    """The events of some lines, in batches. Raises ErrorEvent or UndecodableLine after the events before it."""
    batch: list[WatchEvent[T]] = []
    for line in lines:
        try:
            batch.append(resource.decode_event(line))
        except StatusError as error:
            yield batch
            raise ErrorEvent(error.code, error.reason, error.message, error.retry_after_seconds) from error
        except UndecodableLine:
            yield batch
            raise
        if len(batch) == BATCH_EVENTS:
            yield batch
            batch = []
    if batch:
        yield batch


class LineBuffer:
    r"""Cuts a stream of bytes at "\n"; the beginning of a line waits for its end."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._length = 0

    @property
    def has_rest(self) -> bool:
        return bool(self._parts)

    def feed(self, chunk: bytes) -> Sequence[bytes]:
        r"""The lines that are complete now, each with its "\n". Raises UndecodableLine for an endless one."""
        end = chunk.rfind(b"\n") + 1
        lines = chunk[:end].splitlines(keepends=True)
        if lines:
            lines[0] = b"".join((*self._parts, lines[0]))
            self._parts.clear()
            self._length = 0
        if end < len(chunk):
            self._parts.append(chunk[end:])
            self._length += len(chunk) - end
        if self._length > MAX_LINE_BYTES:
            raise UndecodableLine("a watch line does not end", b"".join(self._parts))
        return lines
