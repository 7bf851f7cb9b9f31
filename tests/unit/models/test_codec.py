"""The codec: as fast as structs, of the same opinion as the contract's models about every event and every state."""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field
from support.published import OBSERVED_AT, migration_event, vm_event

from summit_models.codec import Decode, StateCodec, decode_leniently, decoder, encode
from summit_models.event import CloudEvent, ClusterEvent, MigrationEvent, VmEvent, VmEventData, VmEventType
from summit_models.migration import Migration, PhaseTransition
from summit_models.structs import struct_of
from summit_models.vm import Vm, VmStatus


class Constrained(CloudEvent):
    """A field has a constraint, which structs have no rule for."""

    type: VmEventType
    data: VmEventData
    priority: int = Field(default=0, ge=0)


class ByModel(VmEvent):
    """The same events, decoded by the model alone: the field has a constraint, and no event has it."""

    never: int = Field(default=0, ge=0)


FAST, SURE = decoder(VmEvent), decoder(ByModel)  # type: ignore[arg-type]
VMS, MIGRATIONS = StateCodec(Vm, VmEvent), StateCodec(Migration, MigrationEvent)

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
    """The decoded event, with models and structs as plain values, or the sentence that refuses it.

    Whatever decoded it, its text has the same values.
    """
    try:
        event = decode(body)
    except ValueError as error:
        return str(error)
    data, again = values_of(event.data), VmEventData.model_validate_json(event.text, by_alias=True, by_name=False)
    assert values_of(again) == data
    return event._replace(data=data, text="")


def values_of(data: Any) -> dict[str, Any]:
    return {name: plain(getattr(data, name)) for name in VmEventData.model_fields}


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
    document = json.loads(encode(COMPLETE))
    document["data"] = {k: v for k, v in document["data"].items() if k not in dropped} | data
    body = json.dumps(document | envelope).encode()
    assert opinion(FAST, body) == opinion(SURE, body)


@given(st.binary(max_size=4), st.integers(0, 2000))
def test_structs_and_models_agree_about_broken_text(inserted: bytes, position: int) -> None:
    """With bytes in its middle it may still be JSON, or not, or not even text."""
    body = encode(COMPLETE)
    body = body[: position % len(body)] + inserted + body[position % len(body) :]
    assert opinion(FAST, body) == opinion(SURE, body)


def test_structs_and_models_agree_about_migrations() -> None:
    """Here a value is a list of further models."""
    event = migration_event("m", phase_transitions=[{"phase": "Running", "timestamp": OBSERVED_AT}])
    fast = decoder(MigrationEvent)(encode(event))
    assert not isinstance(fast.data, BaseModel)
    assert plain(fast.data) == plain(event.data)
    assert (fast.type, fast.source, fast.time, fast.epoch) == (event.type, event.source, event.time, event.epoch)


def test_a_number_in_quotes_is_a_number_because_the_model_accepts_it() -> None:
    """The model decides where the structs refuse."""
    document = json.loads(encode(COMPLETE))
    document["data"]["cpu"] = "4"
    assert FAST(json.dumps(document).encode()).data.cpu == 4


@pytest.mark.parametrize(
    ("name", "odd", "written"),
    [
        ("createdAt", 1763881200, "2025-11-23T07:00:00Z"),
        ("createdAt", "1763881200", "2025-11-23T07:00:00Z"),
        ("cpu", 4.0, 4),
        ("cpu", "4", 4),
        ("ready", "yes", True),
        ("resourceVersions", {"vm": "7"}, {"vm": 7, "vmi": 0, "instancetype": 0}),
    ],
)
def test_value_that_only_the_model_understands_does_not_end_the_readers_of_the_journal(
    name: str, odd: Any, written: Any
) -> None:
    """The feed of each api ended at a time that was a number, at each start again; `?at=` failed at 4.0."""
    document = json.loads(encode(COMPLETE))
    document["data"] |= {name: odd, "fromTheFuture": "stays"}
    del document["data"]["ips"]
    event = FAST(json.dumps(document).encode())
    kept = {member: value for member, value in document["data"].items() if member != name}
    assert json.loads(event.text) == kept | {name: written}


def test_event_that_is_nested_too_deep_is_refused() -> None:
    """Brackets by the thousand are JSON, but no decoder follows them."""
    with pytest.raises(ValueError, match="recursion"):
        FAST(b'{"data":' + b"[" * 100_000)


def test_constraint_without_a_rule_is_left_to_the_model() -> None:
    """A field that a struct would check less than the model does must not slip through."""
    body = json.dumps(json.loads(encode(COMPLETE)) | {"priority": -1}).encode()
    with pytest.raises(ValueError, match="priority"):
        decoder(Constrained)(body)  # type: ignore[arg-type]


@pytest.mark.parametrize("model", [VmEvent, MigrationEvent])
def test_frequent_events_are_decoded_by_structs(model: type[BaseModel]) -> None:
    """A new field may need a rule in `structs`: without it, each event takes four times as long."""
    struct_of(model)


def test_lenient_decoding_reads_what_it_can() -> None:
    """A later version may write a state that this one does not know; the epoch counts all the same."""
    body = b"""{"type": "summit.cluster.melted", "epoch": 7, "began": "odd", "fences": [{"epoch": 6, "revision": 5}],
        "time": "yesterday", "data": {"state": "melted", "identity": "uid"}}"""
    event = decode_leniently(ClusterEvent, body)
    assert (event.type, event.epoch, event.began, event.data.identity) == ("summit.cluster.melted", 7, 0, "uid")
    assert [(start.epoch, start.revision) for start in event.epoch_starts] == [(6, 5)]
    assert event.time is event.data.state is None


@given(st.binary())
def test_lenient_decoding_never_fails(body: bytes) -> None:
    """Anything may be in the log."""
    event = decode_leniently(ClusterEvent, body)
    assert (event.epoch, event.data.identity) == (0, None)


texts = st.text(st.characters(codec="utf-8"), max_size=20)
maybe_text = st.none() | texts
times = st.none() | st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  zone by strategy
sizes = st.none() | st.integers(min_value=0, max_value=2**63 - 1)
flags = st.none() | st.booleans()
machines = st.builds(
    Vm,
    id=texts,
    name=texts,
    datacenter=texts,
    status=st.sampled_from(VmStatus),
    printable_status=maybe_text,
    ready=flags,
    cpu=sizes,
    memory_bytes=sizes,
    ips=st.lists(texts, max_size=3),
    labels=st.dictionaries(texts, texts, max_size=3),
    last_migrated_at=times,
    created_at=times,
    problems=st.lists(texts, max_size=2),
)
migrations = st.builds(
    Migration,
    id=texts,
    name=texts,
    namespace=texts,
    cluster=texts,
    datacenter_id=texts,
    completed=st.booleans(),
    end_time=times,
    phase_transitions=st.lists(st.builds(PhaseTransition, phase=texts, timestamp=times), max_size=2),
)
codec_and_states = st.one_of(
    st.tuples(st.just(VMS), machines, machines), st.tuples(st.just(MIGRATIONS), migrations, migrations)
)


@given(codec_and_states)
def test_a_state_is_encoded_as_pydantic_would(case: tuple[StateCodec[Any], BaseModel, BaseModel]) -> None:
    """After a restart the watcher compares its state with the log: another byte would be another event."""
    codec, state, _ = case
    assert codec.encode(state) == state.model_dump_json().encode()


@given(codec_and_states)
def test_a_state_is_decoded_to_what_it_was(case: tuple[StateCodec[Any], BaseModel, BaseModel]) -> None:
    """The watcher keeps nothing else of a published state."""
    codec, state, _ = case
    assert codec.decode(codec.encode(state)) == state


@given(codec_and_states)
def test_changes_are_the_old_values_of_what_differs(case: tuple[StateCodec[Any], BaseModel, BaseModel]) -> None:
    """They have the names of the JSON members, which people read."""
    codec, before, after = case
    old, new = before.model_dump(by_alias=True), after.model_dump(by_alias=True)
    changes = {name: plain(was) for name, was in codec.changes(codec.encode(before), after).items()}
    fields = type(before).model_fields.items()
    expected = {info.alias: plain(getattr(before, name)) for name, info in fields if old[info.alias] != new[info.alias]}
    assert changes == expected


@given(machines)
def test_an_event_is_encoded_around_its_state(vm: Vm) -> None:
    """The state is encoded once and kept; members about the event follow it."""
    about = {"changes": {"cpu": 1}, "final_state_unknown": True}
    members = {"id": "1", "source": "s", "subject": "v", "time": OBSERVED_AT, "type": VmEventType.DELETED, "epoch": 3}
    event = FAST(VMS.encode_event(VMS.encode(vm), about, **members))
    assert (event.type, event.epoch, event.data.final_state_unknown) == (VmEventType.DELETED, 3, True)
    assert VMS.encode_state_in(event.data) == VMS.encode(vm)


def test_changes_with_models_in_them_are_encoded() -> None:
    """A migration's transitions are models."""
    state = Migration(id="m", name="m", namespace="n", cluster="c", datacenter_id="d", phase_transitions=[])  # type: ignore[arg-type]
    after = state.model_copy(update={"phase_transitions": [PhaseTransition(phase="Running")]})
    changes = MIGRATIONS.changes(MIGRATIONS.encode(after), state)
    members = {"id": "1", "source": "s", "subject": "m", "time": OBSERVED_AT, "type": "summit.migration.updated"}
    body = MIGRATIONS.encode_event(MIGRATIONS.encode(state), {"changes": changes}, **members)
    assert msgspec.json.decode(body)["data"]["changes"] == {
        "phaseTransitions": [{"phase": "Running", "timestamp": None}]
    }
