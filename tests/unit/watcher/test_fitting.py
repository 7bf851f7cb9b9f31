"""A state that does not fit into an event is published without what is bulky."""

from typing import Any

from support.builders import uid_of

from summit_models.migration import Migration
from summit_models.vm import Vm, VmStatus
from summit_watcher.inventory.fitting import fitting
from summit_watcher.inventory.published import MIGRATION_CODEC, VM_CODEC

MOST = 16 * 1024


def vm(**more: Any) -> Vm:
    state = {"id": uid_of("vulcan", "prod", "web"), "name": "web", "datacenter": "dc-solna", "status": "running"}
    return Vm.model_validate({**state, **more})


def bulky(size: int) -> dict[str, str]:
    return {f"label-{number}": "x" * 50 for number in range(size // 50)}


def test_a_state_that_fits_is_not_changed() -> None:
    """Nor is it copied."""
    given = vm(labels={"a": "b"})
    assert fitting(VM_CODEC, given, MOST) == (given, VM_CODEC.encode(given))


def test_labels_of_a_megabyte_are_left_out_and_a_problem_says_so() -> None:
    """All else of the VM stays, and what is left out is the same each time: the same VM makes no event again."""
    given = vm(labels=bulky(1_100_000), problems=["cpu: odd"], ip="10.0.0.1")
    found, state = fitting(VM_CODEC, given, MOST)
    assert isinstance(found, Vm)
    assert (found.labels, found.ip, found.status) == ({}, "10.0.0.1", VmStatus.RUNNING)
    first, second = found.problems
    assert first == "cpu: odd"
    assert second.startswith("labels: left out, as its ")
    assert len(state) <= MOST
    assert fitting(VM_CODEC, given, MOST)[1] == state


def test_as_much_is_left_out_as_is_needed() -> None:
    """Problems too, after which those about what is left out remain."""
    given = vm(labels=bulky(100_000), problems=["x" * 50_000])
    found, state = fitting(VM_CODEC, given, MOST)
    assert isinstance(found, Vm)
    assert [problem.partition(":")[0] for problem in found.problems] == ["labels", "problems"]
    assert len(state) <= MOST


def test_a_migration_has_no_problems_and_only_loses_what_is_bulky() -> None:
    """Its name and its VM stay."""
    place = {"namespace": "prod", "cluster": "vulcan", "datacenterId": "dc-solna"}
    given = Migration.model_validate(
        {"id": "1", "name": "m", "vmName": "web", "phase": "running", **place, "labels": bulky(100_000)}
    )
    found, state = fitting(MIGRATION_CODEC, given, MOST)
    assert isinstance(found, Migration)
    assert (found.vm_name, found.labels) == ("web", {})
    assert len(state) <= MOST
