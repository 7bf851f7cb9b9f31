"""A cursor is what a `next` was, and nothing else."""

from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from summit_api.problems import ProblemError
from summit_api.query.cursor import SORT_BY_NAME, Cursor, decode, encode

NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@given(NAMES, NAMES)
def test_cursor_comes_back_as_it_was(name: str, vm_id: str) -> None:
    """Whatever a VM is called."""
    cursor = Cursor(SORT_BY_NAME, name, vm_id)
    assert decode(encode(cursor)) == cursor


@given(st.text(max_size=50))
def test_any_other_text_is_refused_with_a_problem(text: str) -> None:
    """Nothing a client may send raises anything else."""
    with pytest.raises(ProblemError, match="cursor"):
        decode(text)


@pytest.mark.parametrize("key", ['["memory","a","b"]', '["name","a"]', '["name","a\\u0000","b"]', '["name",1,2]', "{}"])
def test_key_of_another_order_is_refused(key: str) -> None:
    """A cursor that decodes but has no (name, id) is no place in this list."""
    with pytest.raises(ProblemError, match="cursor"):
        decode(urlsafe_b64encode(key.encode()).decode())
