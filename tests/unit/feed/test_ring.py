"""The ring of the newest frames: a client whose place is in it continues without a gap, any other is reset."""

from hypothesis import given
from hypothesis import strategies as st

from summit_api.feed.frame import Frame, Topic
from summit_api.feed.hub import CHUNK_BYTES, Ring
from summit_models.contract import Revision


def frame(revision: int | None, size: int = 10) -> Frame:
    """A frame of this revision; None for one without an entry in the journal."""
    number = None if revision is None else Revision(revision)
    parts = {"head": b"", "present": b"x" * size, "limited": b"", "changes": b"", "gone": b"", "tail": b""}
    return Frame(topic=Topic.VM, revision=number, before=None, after=None, **parts)


def revisions(ring: Ring, offset: int) -> list[int | None]:
    """The revisions of all frames from there on."""
    taken: list[int | None] = []
    while frames := ring.take(offset):
        offset += len(frames)
        taken += [frame.revision for frame in frames]
    return taken


def test_frames_without_a_revision_keep_their_place() -> None:
    """A client that resumes after the revision before them gets them again, and a later one has seen them."""
    ring = Ring(max_bytes=1_000_000)
    for revision in (1, None, 2, None):
        ring.append(frame(revision))
    assert revisions(ring, ring.offset_after(Revision(0)) or 0) == [1, None, 2, None]
    assert revisions(ring, ring.offset_after(Revision(1)) or 0) == [2, None]


def test_a_chunk_is_bounded() -> None:
    """A client gets about 64 KiB at once, and at least one frame."""
    ring = Ring(max_bytes=10_000_000)
    for revision in range(1, 11):
        ring.append(frame(revision, size=CHUNK_BYTES // 2))
    assert [len(ring.take(offset)) for offset in (0, 9, 10)] == [2, 1, 0]
    ring.append(frame(11, size=CHUNK_BYTES * 5))
    assert len(ring.take(10)) == 1


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5000)), max_size=60), st.integers(2000, 30_000))
def test_nothing_is_missing_between_what_is_known_and_the_end(frames: list[tuple[bool, int]], max_bytes: int) -> None:
    """An offset leads to every later frame, however many were dropped; memory stays bounded."""
    ring, added = Ring(max_bytes), []
    for revision, (logged, size) in enumerate(frames, 1):
        made = frame(revision if logged else None, size)
        ring.append(made)
        added.append(made)
        assert sum(kept.size for kept in added[ring.begin :]) <= max_bytes
    for revision in range(len(frames) + 1):
        offset = ring.offset_after(Revision(revision))
        expected = [f.revision for f in added if f.revision is not None and f.revision > revision]
        if offset is None:
            assert revision < ring.since
        else:
            assert [n for n in revisions(ring, offset) if n is not None] == expected
