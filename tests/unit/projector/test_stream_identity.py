"""Is the stream the one of the checkpoint? This is what its state alone shows."""

from datetime import UTC, datetime

import pytest

from summit_models.contract import Revision
from summit_projector.recovery.stream_identity import contradiction
from summit_projector.tables.checkpoint import Checkpoint
from summit_runtime.nats.streams.stream import StreamState

CREATED = datetime(2026, 11, 1, tzinfo=UTC)
LATER = datetime(2026, 11, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (StreamState(CREATED, 1, 100), None),
        (StreamState(CREATED, 90, 120), None),
        (StreamState(CREATED, 101, 100), None),
        (StreamState(LATER, 1, 200), "created again"),
        (StreamState(CREATED, 1, 99), "ends with event 99"),
        (StreamState(CREATED, 103, 120), "events 101 to 102 aged out"),
    ],
    ids=["nothing new", "older ones aged out", "all applied aged out", "created again", "cut", "a gap"],
)
def test_stream_that_contradicts_the_checkpoint_is_another_one(state: StreamState, reason: str | None) -> None:
    """Applied up to revision 100 of a stream of the first of November."""
    found = contradiction(Checkpoint(CREATED, Revision(100), "id"), state)
    assert (found is None) if reason is None else (found is not None and reason in found)


def test_old_stream_is_no_gap_for_an_empty_database() -> None:
    """At the first start nothing was missed: the stream begins where it begins."""
    assert contradiction(Checkpoint(CREATED, Revision(0), None), StreamState(CREATED, 5000, 9000)) is None
