"""Patches of the simulator follow their RFCs."""

import pytest

from summit_simulator.api.patches import json_patch, merge
from summit_simulator.api.status import StatusError


def test_merge_removes_by_null_and_replaces_lists() -> None:
    """RFC 7386."""
    target = {"a": {"b": 1, "c": [1, 2]}, "d": 1}
    assert merge(target, {"a": {"b": None, "c": [3]}, "e": {"f": None}}) == {"a": {"c": [3]}, "d": 1, "e": {}}


def test_json_patch_knows_all_operations() -> None:
    """RFC 6902, escaped pointers included."""
    patched = json_patch(
        {"a/b": [1, 2], "c": {"d": 1}},
        [
            {"op": "test", "path": "/a~1b/0", "value": 1},
            {"op": "add", "path": "/a~1b/-", "value": 3},
            {"op": "add", "path": "/a~1b/0", "value": 0},
            {"op": "copy", "from": "/c", "path": "/e"},
            {"op": "move", "from": "/c/d", "path": "/f"},
            {"op": "replace", "path": "/e/d", "value": 2},
            {"op": "remove", "path": "/a~1b/1"},
        ],
    )
    assert patched == {"a/b": [0, 2, 3], "c": {}, "e": {"d": 2}, "f": 1}


def test_a_failed_operation_is_unprocessable() -> None:
    """422, and the document stays as it was."""
    document = {"a": 1}
    for operation in (
        {"op": "test", "path": "/a", "value": 2},
        {"op": "remove", "path": "/b"},
        {"op": "x", "path": "/a"},
    ):
        with pytest.raises(StatusError) as raised:
            json_patch(document, [{"op": "replace", "path": "/a", "value": 9}, operation])
        assert raised.value.code == 422
    assert document == {"a": 1}
