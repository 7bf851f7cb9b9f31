"""Edits of a VM: the new state, and the events that are published."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from summit_api.edits import vm as vms
from summit_api.edits.payloads import NewVm, VmPatch
from summit_models.contract import DatacenterId, Revision
from summit_models.event import VmEventType
from summit_models.vm import Vm, VmStatus

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
SOLNA, UPPSALA = DatacenterId("dc-solna"), DatacenterId("dc-uppsala")
SEVEN = Revision(7)
BY = "oidc:alice"


def by_hand(**members: Any) -> Vm:
    return vms.new(NewVm(**{"id": "vm-001", "name": "web"} | members), SOLNA)


def test_members_that_are_not_given_are_unknown() -> None:
    """No size is made up, no status, no time of creation."""
    vm = by_hand()
    assert (vm.managed, vm.status, vm.cpu, vm.memory_bytes, vm.created_at) == (
        False,
        VmStatus.UNKNOWN,
        None,
        None,
        None,
    )


def test_sizes_by_hand_are_exact() -> None:
    """MiB and GiB as bytes, so that sorting and adding up work for all VMs."""
    vm = by_hand(memory=3, disk=2)
    assert (vm.memory_bytes, vm.disk_bytes) == (3 * 2**20, 2 * 2**30)
    assert vms.patched(vm, VmPatch(memory=4)).memory_bytes == 4 * 2**20


def test_rounded_size_that_stays_keeps_its_bytes() -> None:
    """A watched VM's MiB are rounded: to send them back is no change."""
    vm = by_hand(memory=3).model_copy(update={"managed": True, "memory_bytes": 3 * 2**20 + 1})
    assert vms.patched(vm, VmPatch(memory=3)) == vm


def test_move_is_an_end_there_and_a_beginning_here() -> None:
    """Each has the source of its datacenter; the second has the old datacenter in its changes."""
    vm = by_hand()
    ends, begins = vms.changed(vm, vms.moved(vm, UPPSALA, NOW), SEVEN, NOW, BY)
    assert (ends.type, ends.source, ends.data.datacenter) == (VmEventType.DELETED, "/datacenters/dc-solna", SOLNA)
    assert (begins.type, begins.source, begins.data.datacenter) == (
        VmEventType.CREATED, "/datacenters/dc-uppsala", UPPSALA,
    )  # fmt: skip
    assert begins.data.changes == {"datacenter": "dc-solna", "_lastMigratedAt": None}
    assert ends.id != begins.id


def test_end_by_a_move_is_not_the_end_by_a_removal() -> None:
    """Made from one revision the two would have one id, and the log would take the second for a repetition."""
    vm = by_hand()
    moves = [vms.changed(vm, vms.moved(vm, to, NOW), SEVEN, NOW, BY)[0] for to in (UPPSALA, DatacenterId("dc-kista"))]
    assert len({event.id for event in (*moves, *vms.removed(vm, SEVEN, NOW, BY))}) == 3


def test_each_event_of_an_edit_says_who_made_it() -> None:
    """Both of a move; nobody is named where everybody may edit."""
    vm = by_hand()
    moves = vms.changed(vm, vms.moved(vm, UPPSALA, NOW), SEVEN, NOW, BY)
    edits = [*vms.added(vm, SEVEN, NOW, BY), *moves, *vms.removed(vm, SEVEN, NOW, BY)]
    assert [event.data.by for event in edits] == [BY] * 4
    assert [event.data.by for event in vms.removed(vm, SEVEN, NOW, None)] == [None]
    assert vms.observed(vm, SEVEN, NOW).data.by is None  # who repeats a state has not made it


patches = st.builds(
    VmPatch,
    name=st.none() | st.from_regex(r"[a-z]{1,9}", fullmatch=True),
    status=st.none() | st.sampled_from(VmStatus),
    cpu=st.none() | st.integers(0, 64),
    memory=st.none() | st.integers(0, 2**20),
    cluster=st.none() | st.sampled_from(["", "old-vmware"]),
)


@given(patches, patches)
def test_old_values_in_the_event_lead_back(first: VmPatch, second: VmPatch) -> None:
    """The state with its `changes` undone is the state before, so history can be read in both directions."""
    before = vms.patched(by_hand(cpu=2), first)
    after = vms.patched(before, second)
    (event,) = vms.changed(before, after, SEVEN, NOW, BY)
    assert Vm.model_validate(after.model_dump(mode="json") | event.data.changes) == before


@given(patches, patches)
def test_same_id_means_same_state(first: VmPatch, second: VmPatch) -> None:
    """Two edits made from one revision are one event only if their new state is the same, or one would be lost."""
    vm = by_hand(cpu=2)
    one, other = (vms.changed(vm, vms.patched(vm, patch), SEVEN, NOW, BY)[0] for patch in (first, second))
    assert (one.id == other.id) == (one.data == other.data)
