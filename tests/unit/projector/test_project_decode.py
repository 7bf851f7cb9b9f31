"""Decoding by structs: faster than the contract's models, and of the same opinion about every event."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field
from support.published import OBSERVED_AT, message, migration_event, vm_event

from summit_models.event import CloudEvent, MigrationEvent, VmEvent, VmEventData, VmEventType
from summit_projector.decode import Decode, by_model, by_struct
from summit_projector.project import project

FAST, SURE = by_struct(VmEvent), by_model(VmEvent)

ODD = st.sampled_from(
    [
        None, True, 0, -1, 1.0, 1.5, "5", "", "true", "running", "RUNNING", 2**70, [], [1], ["a"], {},
        {"vm": "7"}, {"a": 1},
        "2026-11-23T07:00:00Z", "2026-11-23T07:00:00+01:00", "2026-11-23T07:00:00", "2026-11-23", "24:00", 1763881200,
    ]
)  # fmt: skip
NAMES = sorted({name for field, info in VmEventData.model_fields.items() for name in (field, info.alias or field)})
COMPLETE = vm_event(
    "a",
    VmEventType.CREATED,
    cpu=2,
    ips=["10.0.0.1"],
    created_at=OBSERVED_AT,
    changes={"cpu": 1, "labels": {"a": None}},
)


def opinion(decode: Decode, body: bytes) -> Any:
    """What was decoded, with models and structs as plain values, or the sentence that refuses it."""
    try:
        event = decode(body)
    except ValueError as error:
        return str(error)
    return event._replace(data={name: plain(getattr(event.data, name)) for name in VmEventData.model_fields})


def plain(value: Any) -> Any:
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, BaseModel) or hasattr(value, "__struct_fields__"):
        names = type(value).model_fields if isinstance(value, BaseModel) else value.__struct_fields__
        return {name: plain(getattr(value, name)) for name in names}
    return (type(value), value) if not isinstance(value, datetime) else value.astimezone(UTC)


@given(
    envelope=st.dictionaries(st.sampled_from([*VmEvent.model_fields, "fromTheFuture"]), ODD, max_size=2),
    data=st.dictionaries(st.sampled_from([*NAMES, "fromTheFuture"]), ODD, max_size=3),
    dropped=st.sets(st.sampled_from(NAMES), max_size=3),
)
def test_structs_and_models_agree_about_any_event(
    envelope: dict[str, Any], data: dict[str, Any], dropped: set[str]
) -> None:
    """Missing, unknown and odd members: the same values, or the same sentence."""
    document = json.loads(COMPLETE.model_dump_json())
    document["data"] = {k: v for k, v in document["data"].items() if k not in dropped} | data
    body = json.dumps(document | envelope).encode()
    assert opinion(FAST, body) == opinion(SURE, body)


@given(st.binary(max_size=4), st.integers(0, 2000))
def test_structs_and_models_agree_about_broken_text(inserted: bytes, position: int) -> None:
    """Bytes in the middle may leave JSON, may not, or may be no text at all."""
    body = COMPLETE.model_dump_json().encode()
    body = body[: position % len(body)] + inserted + body[position % len(body) :]
    assert opinion(FAST, body) == opinion(SURE, body)


def test_structs_and_models_agree_about_migrations() -> None:
    """Also where a value is a list of further models."""
    transition = {"phase": "Running", "timestamp": OBSERVED_AT}
    body = migration_event("m", phase_transitions=[transition]).model_dump_json().encode()
    fast, sure = (decode(body) for decode in (by_struct(MigrationEvent), by_model(MigrationEvent)))
    assert plain(fast.data) == plain(sure.data)
    assert fast._replace(data=None) == sure._replace(data=None)


def test_number_in_quotes_is_a_number_as_the_model_says() -> None:
    """What the structs refuse is the model's to decide."""
    document = json.loads(COMPLETE.model_dump_json())
    document["data"]["cpu"] = "4"
    assert FAST(json.dumps(document).encode()).data.cpu == 4


def test_event_that_is_nested_too_deep_is_set_aside() -> None:
    """Brackets by the thousand are JSON, but no decoder follows them."""
    deep = message(COMPLETE)._replace(body=b'{"data":' + b"[" * 100_000)
    batch = project([deep])
    assert ("recursion" in batch.set_aside[0].reason, batch.event_id) == (True, None)


def test_constraint_without_a_rule_is_refused_when_the_structs_are_made() -> None:
    """A field that the structs would check less than the model does must not slip through."""

    class Constrained(CloudEvent):
        type: VmEventType
        data: VmEventData
        priority: int = Field(default=0, ge=0)

    with pytest.raises(TypeError, match="priority"):
        by_struct(Constrained)  # type: ignore[arg-type]
