"""A rebuild compares all tables, so that a new one is not forgotten."""

from datetime import UTC, datetime

from summit_models.contract import Revision
from summit_models.tables import metadata
from summit_projector.recovery.difference import Difference, Finding, Rebuilt
from summit_projector.recovery.swap import twins
from summit_projector.tables.checkpoint import Checkpoint

CREATED_AT = datetime(2026, 11, 1, tzinfo=UTC)


def test_every_table_is_compared() -> None:
    """The journal is merged instead, and the checkpoint is the point at which both are compared."""
    compared = {twin.name for twin in twins(1, Checkpoint(CREATED_AT, Revision(9), None))}
    assert compared | {"events", "checkpoint"} == set(metadata.tables)


def test_the_result_names_tables_and_rows() -> None:
    """A person reads it: how many, and the first of them by key and column."""
    vms = Difference(
        "vms", 5, missing=1, wrong=1, kept=2, examples=[Finding("a", "missing"), Finding("b", "wrong", ("cpu",))]
    )
    text = Rebuilt(3, 9, 1.25, [Difference("clusters", 1), vms]).as_text()
    assert text.splitlines() == [
        "rebuilt from the stream, revisions 3 to 9, in 1.2 s: 2 rows were corrected",
        "clusters: 1 rows, all right",
        "vms: 5 rows, 1 missing, 0 surplus, 1 wrong; the stream does not have 2 of them",
        "  vms a was missing",
        "  vms b was wrong: cpu",
    ]
