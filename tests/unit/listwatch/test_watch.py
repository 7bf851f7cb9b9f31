"""Bytes into lines into events: however the network cuts them, and whatever is between them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from summit_watcher.kube.bounds import LINE_BYTES, LINE_SECONDS
from summit_watcher.kube.errors import ErrorEvent, UndecodableLine
from summit_watcher.kube.resources import VIRTUAL_MACHINES
from summit_watcher.listwatch.watch import BATCH_EVENTS, LineBuffer, decoded


def line(number: int, kind: str = "ADDED") -> bytes:
    metadata = {"uid": f"u{number}", "name": f"vm-{number}", "resourceVersion": str(number)}
    return json.dumps({"type": kind, "object": {"metadata": metadata}}).encode() + b"\n"


@given(
    st.lists(st.binary(max_size=12).filter(lambda b: not {10, 13} & set(b)), max_size=8), st.lists(st.integers(1, 9))
)
def test_lines_are_the_same_however_the_bytes_arrive(lines: list[bytes], sizes: list[int]) -> None:
    """TCP cuts anywhere."""
    stream = b"".join(part + b"\n" for part in lines)
    buffer, found, position = LineBuffer(), [], 0
    for size in [*sizes, len(stream) + 1]:
        found += buffer.feed(stream[position : position + size])
        position += size
    assert found == [part + b"\n" for part in lines]
    assert not buffer.has_rest


def test_the_beginning_of_a_line_waits_for_its_end() -> None:
    """A stream that ends there has lost something."""
    buffer = LineBuffer()
    assert buffer.feed(b"ab") == []
    assert buffer.has_rest
    assert buffer.feed(b"c\n") == [b"abc\n"]


def test_a_line_that_does_not_end_is_no_object() -> None:
    """Memory is bounded: objects are at most 1.5 MiB."""
    buffer = LineBuffer()
    buffer.feed(b"x" * LINE_BYTES)
    with pytest.raises(UndecodableLine, match="does not end"):
        buffer.feed(b"x")


def test_a_line_that_drips_without_end_is_no_object() -> None:
    """Each byte looks like a sign of life, so the cluster would be synced for ever."""
    now = 0.0
    buffer = LineBuffer(lambda: now)
    buffer.feed(b"x")
    now = LINE_SECONDS - 1
    assert buffer.feed(b"x\nx") == [b"xx\n"]
    now = 2 * LINE_SECONDS - 2
    assert buffer.feed(b"x") == []
    now = 2 * LINE_SECONDS
    with pytest.raises(UndecodableLine, match="does not end"):
        buffer.feed(b"x")


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (b'{"type":"MODIFIED","object":{"metadata"\n', UndecodableLine),
        (b'{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}}\n', ErrorEvent),
    ],
)
def test_the_events_before_a_bad_line_are_given_out_first(bad: bytes, error: type[Exception]) -> None:
    """Valid neighbours arrive, in order, and the watch can be resumed behind them."""
    batches = decoded(VIRTUAL_MACHINES, [line(1), line(2), bad, line(3)])
    assert [event.resource_version for event in next(batches)] == ["1", "2"]
    with pytest.raises(error):
        next(batches)


def test_batches_are_bounded() -> None:
    """A storm in one cluster gives the others their turn."""
    batches = list(decoded(VIRTUAL_MACHINES, [line(n) for n in range(1, 2 * BATCH_EVENTS + 2)]))
    assert [len(batch) for batch in batches] == [BATCH_EVENTS, BATCH_EVENTS, 1]
