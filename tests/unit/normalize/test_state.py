"""The state of a VM as it is encoded for the log: the bytes that Pydantic would write."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from summit_models.vm import Vm, VmStatus
from summit_watcher.normalize.state import changes, decoded, encoded

texts = st.text(st.characters(codec="utf-8"), max_size=20)
maybe_text = st.none() | texts
times = st.none() | st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  zone by strategy
sizes = st.none() | st.integers(min_value=0, max_value=2**63 - 1)
flags = st.none() | st.booleans()


@st.composite
def machines(draw: st.DrawFn) -> Vm:
    fields: dict[str, Any] = {
        "id": draw(texts),
        "name": draw(texts),
        "datacenter": draw(texts),
        "status": draw(st.sampled_from(VmStatus)),
        "printable_status": draw(maybe_text),
        "ready": draw(flags),
        "cpu": draw(sizes),
        "memory_bytes": draw(sizes),
        "ips": draw(st.lists(texts, max_size=3)),
        "labels": draw(st.dictionaries(texts, texts, max_size=3)),
        "last_migrated_at": draw(times),
        "created_at": draw(times),
        "problems": draw(st.lists(texts, max_size=2)),
    }
    return Vm(**fields)


@given(machines())
def test_a_state_is_encoded_as_pydantic_would(vm: Vm) -> None:
    """A restart compares with what readers of the log decoded and encoded again: another byte is another event."""
    assert encoded(vm) == vm.model_dump_json().encode()


@given(machines())
def test_a_state_is_decoded_to_what_it_was(vm: Vm) -> None:
    """The published_state keeps nothing else of a VM."""
    assert decoded(encoded(vm)) == vm


@given(machines(), machines())
def test_changes_are_the_old_values_of_what_differs(before: Vm, after: Vm) -> None:
    """Named as in JSON, where people read them."""
    old, new = before.model_dump(by_alias=True), after.model_dump(by_alias=True)
    assert changes(encoded(before), after) == {name: old[name] for name in new if old[name] != new[name]}
