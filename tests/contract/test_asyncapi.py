"""The AsyncAPI document has the real subjects of events. (`make check` compares it with the committed one.)"""

import json
import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest

from summit_api.asyncapi.document import CHANNELS, MESSAGES, document, parameters
from summit_api.asyncapi.examples import EXAMPLES
from summit_models.cluster import Heartbeat
from summit_models.event import Event
from summit_models.subject import subject_of
from summit_projector.project import project
from summit_projector.projections import PROJECTIONS
from summit_runtime.nats.streams.consumer import StreamMessage


@pytest.fixture(scope="module")
def rendered() -> dict[str, Any]:
    read: dict[str, Any] = json.loads(document())
    return read


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(reference := part.get("$ref"), str):
            yield reference
        part = list(part.values())
    if isinstance(part, list):
        for value in part:
            yield from references(value)


def test_each_kind_of_event_has_a_channel(rendered: dict[str, Any]) -> None:
    """Each collection that the projector applies has one, too."""
    described = {message for channel in rendered["channels"].values() for message in channel["messages"]}
    assert described == {*(event.__name__ for event in get_args(Event)), "Heartbeat"} == set(MESSAGES)
    assert {channel.address.split(".")[1] for channel in CHANNELS.values()} >= set(PROJECTIONS)


def test_all_references_lead_somewhere(rendered: dict[str, Any]) -> None:
    """A reader's tools follow them."""
    found = set(references(rendered))
    assert found
    for reference in found:
        part = rendered
        for step in reference.removeprefix("#/").split("/"):
            part = part[step]


def test_parts_of_an_address_are_described(rendered: dict[str, Any]) -> None:
    """Each of them has an example."""
    for channel in rendered["channels"].values():
        assert set(parameters(channel["address"])) == set(channel["parameters"])
    assert all(parameter["examples"] for parameter in rendered["components"]["parameters"].values())


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_events(name: str) -> None:
    """The models read them, the projector applies them, and their subject is an address of the document."""
    message = EXAMPLES[name]
    body = message.model_dump_json()
    assert type(message).model_validate_json(body) == message
    if not isinstance(message, Heartbeat):
        subject = subject_of(message)  # type: ignore[arg-type]
        assert project([StreamMessage(1, subject, body.encode(), 0)]).dead_letters == []
        patterns = [re.sub(r"\\{\w+\\}", "[^.]+", re.escape(channel.address)) for channel in CHANNELS.values()]
        assert any(re.fullmatch(pattern, subject) for pattern in patterns)


def test_each_message_has_an_example_and_each_operation_sends(rendered: dict[str, Any]) -> None:
    """AsyncAPI 3 describes the operations of the application itself, and it sends."""
    assert all(message["examples"] for message in rendered["components"]["messages"].values())
    assert {operation["action"] for operation in rendered["operations"].values()} == {"send"}
