"""Conditions of an object. Many are removed rather than set to False, so absence has a meaning of its own."""

from summit_watcher.kube.manifests import Condition

_VALUES = {"True": True, "False": False}


def conditions_of(conditions: list[Condition | None] | None) -> dict[str, bool]:
    """Type to value, of the conditions that are True or False; "Unknown" or any other word is as good as absent."""
    return {
        condition.type: _VALUES[condition.status]
        for condition in conditions or ()
        if condition is not None and condition.type and condition.status in _VALUES
    }
