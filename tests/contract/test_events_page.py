"""docs/events.md is for people, and names every member of every event."""

import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from support.paths import ROOT

from summit_api.asyncapi.document import MESSAGES
from summit_models.contract import Contract

PAGE = (ROOT / "docs" / "events.md").read_text()
NAMED = {member for code in re.findall(r"`([^`\n]+)`", PAGE) for member in re.findall(r"\w+", code)}


def members(model: type[Contract]) -> Iterator[str]:
    """The JSON names of a model's fields, and of those of the models in them."""
    for name, field in model.model_fields.items():
        yield field.alias or name
        for inner in models_in(field.annotation):
            yield from members(inner)


def models_in(annotation: Any) -> Iterator[type[Contract]]:
    if isinstance(annotation, type) and issubclass(annotation, Contract):
        yield annotation
    for argument in get_args(annotation):
        yield from models_in(argument)


@pytest.mark.parametrize("name", MESSAGES)
def test_each_member_of_each_event_is_named(name: str) -> None:
    """The page names it by its JSON name, as code."""
    assert set(members(MESSAGES[name])) - NAMED == set()
