"""A cursor gives back its values for its own list, and any other text is rejected with a problem."""

import contextlib
from base64 import urlsafe_b64encode
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from summit_api.edits.payloads import MAX_TEXT
from summit_api.query import vms
from summit_api.query.pages import cursor
from summit_api.query.pages.order import Column
from summit_api.query.transaction.errors import InvalidValueError
from summit_api.query.vms import vm_order

COLUMNS = [Column("name", nullable=False), Column("memory", int), Column("created_at", datetime)]
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
TIMES = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  bounds are naive
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS
    | TIMES.map(str),
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
    max_leaves=5,
)


@given(TEXTS, st.none() | st.integers(-(2**63), 2**63 - 1), st.none() | TIMES)
def test_decoding_reverses_encoding(name: str, memory: int | None, created_at: datetime | None) -> None:
    """Any text that Postgres can hold, in any script, numbers, times and nulls."""
    values = [name, memory, created_at]
    assert cursor.decode(cursor.encode("list", values), "list", COLUMNS) == values


@given(st.text())
def test_any_other_text_is_rejected(text: str) -> None:
    """With an error that names the parameter, never with another one."""
    with pytest.raises(InvalidValueError) as refused:
        cursor.decode(text, "list", COLUMNS)
    assert refused.value.parameter == "cursor"


@given(JSON)
def test_forged_values_are_values_or_refused(values: object) -> None:
    """A cursor made by hand gets an answer or a problem: Postgres can compare all values that are accepted."""
    text = urlsafe_b64encode(msgspec.json.encode(["list", values])).decode()
    with contextlib.suppress(InvalidValueError):
        name, memory, created_at = cursor.decode(text, "list", COLUMNS)
        assert isinstance(name, str)
        assert memory is None or isinstance(memory, int)
        assert created_at is None or isinstance(created_at, datetime)


def test_longest_cursor_is_accepted() -> None:
    """A list that can be begun can be read to its end, whatever its VMs are called."""
    order = vm_order(",".join(vms.COLUMNS))
    longest: dict[type, Any] = {str: "\N{OX}" * MAX_TEXT, int: 2**63 - 1, datetime: datetime.max.replace(tzinfo=UTC)}
    values = [longest[column.kind] for column in order.columns if column.sql not in ("datacenter", "status", "id")]
    closed = ["a" * 63, "waitingforvolumebinding", "a" * MAX_TEXT]
    assert len(cursor.encode(cursor.digest(), [*values, *closed])) <= cursor.MAX_LENGTH
