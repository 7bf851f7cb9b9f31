"""Whose turn it is in an operation on many VMs, when no further VM begins, and how it ends."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from summit_api.bulk import turns
from summit_api.bulk.plan import token_of
from summit_api.query.bulk_operations import Waiting
from summit_models.bulk_operation import BulkOperation, BulkState, ClusterTargets, Target, canceling, paused
from summit_models.operation import Action, OperationState

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
S = OperationState
TARGETS = ClusterTargets(datacenter="dc-solna", cluster="vulcan", vms={"prod": ["a", "b"], "dev": ["c"]})


def bulk(**values: Any) -> BulkOperation:
    given_: dict[str, Any] = {
        "id": "bulk-1",
        "action": Action.START,
        "timeout_seconds": 60,
        "max_parallel_per_cluster": 3,
        "max_parallel_per_node": 2,
        "max_failures": 2,
        "targets": [TARGETS],
        "total": 3,
        "datacenters": ["dc-solna"],
        "namespaces": ["dev", "prod"],
        "requested_at": NOW,
        "deadline": NOW + timedelta(hours=1),
    }
    return BulkOperation(**given_ | values)


def waiting(name: str, node: str | None = None, *, lives: bool = True, is_wanted: bool = True) -> Waiting:
    return Waiting(Target("prod", name), name, TARGETS.datacenter, node, lives, is_wanted)


def names(chosen: list[Waiting]) -> list[str | None]:
    return [vm.name for vm in chosen]


def test_turns_are_in_order_within_both_limits() -> None:
    """A VM whose node is full is passed over, and keeps its place."""
    vms = [waiting("a", "n1"), waiting("b", "n1"), waiting("c", "n2"), waiting("d", "n2")]
    assert names(turns.chosen(bulk(), vms, [])) == ["a", "b", "c"]
    assert names(turns.chosen(bulk(), vms, ["n1"])) == ["a", "c"]
    assert names(turns.chosen(bulk(), vms, ["n1", "n1"])) == ["c"]
    assert names(turns.chosen(bulk(), vms, ["n1", "n1", "n2"])) == []
    assert names(turns.chosen(bulk(max_parallel_per_node=1), [waiting(name) for name in "abcd"], [])) == ["a", "b", "c"]


def test_vm_that_is_not_acted_on_takes_no_place() -> None:
    """It is skipped at once, also while the cluster is full."""
    lost = [waiting("a", "n1", lives=False), waiting("b", "n1", is_wanted=False)]
    assert names(turns.chosen(bulk(), lost, ["n1", "n1", "n1"])) == ["a", "b"]
    assert [why and why.message for why in map(turns.lost, [*lost, waiting("c")])] == [
        "the VM is gone",
        "VM b does not meet the filters of the bulk operation any more",
        None,
    ]


@given(
    st.lists(st.tuples(st.sampled_from(["n1", "n2", None]), st.booleans()), max_size=30),
    st.lists(st.sampled_from(["n1", "n2", None]), max_size=5),
    st.integers(1, 6),
    st.integers(1, 3),
)
def test_no_choice_exceeds_a_limit(
    vms: list[tuple[str | None, bool]], in_use: list[str | None], per_cluster: int, per_node: int
) -> None:
    """Whatever waits and is under way."""
    operation = bulk(max_parallel_per_cluster=per_cluster, max_parallel_per_node=per_node)
    found = [waiting(str(n), node, is_wanted=wanted) for n, (node, wanted) in enumerate(vms)]
    chosen = [vm for vm in turns.chosen(operation, found, in_use) if vm.is_wanted]
    assert len(chosen) <= max(per_cluster - len(in_use), 0)
    for node in ("n1", "n2"):
        begun = sum(vm.node == node for vm in chosen)
        assert begun <= max(per_node - in_use.count(node), 0)


@pytest.mark.parametrize(
    ("operation", "counts", "later", "expected"),
    [
        (bulk(), {S.FAILED: 1}, 0, None),
        (bulk(), {S.FAILED: 1, S.EXPIRED: 1}, 0, S.SKIPPED),
        (bulk(max_failures=None), {S.FAILED: 3}, 0, None),
        (bulk(), {}, 3600, S.EXPIRED),
        (paused(bulk(), ""), {S.FAILED: 2}, 0, S.SKIPPED),
        (canceling(bulk(), ""), {}, 0, S.CANCELED),
    ],
)
def test_it_stops(
    operation: BulkOperation, counts: dict[OperationState, int], later: int, expected: OperationState | None
) -> None:
    """After failures, at its deadline, and when it is canceled; also while it is paused."""
    stop = turns.stop(operation, {"vulcan": Counter(counts)}, NOW + timedelta(seconds=later))
    assert (stop and stop.state) == expected


@pytest.mark.parametrize(
    ("operation", "counts", "expected"),
    [
        (bulk(), {S.SUCCEEDED: 2}, None),
        (bulk(), {S.SUCCEEDED: 2, S.RUNNING: 1}, None),
        (bulk(), {S.SUCCEEDED: 2, S.SKIPPED: 1}, BulkState.SUCCEEDED),
        (bulk(), {S.SUCCEEDED: 2, S.EXPIRED: 1}, BulkState.FAILED),
        (paused(bulk(), ""), {S.SUCCEEDED: 3}, BulkState.SUCCEEDED),
        (canceling(bulk(), ""), {S.SUCCEEDED: 1, S.CANCELED: 1, S.FAILED: 1}, BulkState.CANCELED),
    ],
)
def test_it_ends_when_each_vm_has_an_operation_that_has_ended(
    operation: BulkOperation, counts: dict[OperationState, int], expected: BulkState | None
) -> None:
    """With a failed one it has failed, unless it was canceled."""
    end = turns.end(operation, {"vulcan": Counter(counts)}, NOW)
    assert (end and end.state) == expected
    assert end is None or (end.ended_at == NOW and end.message)


def test_operation_on_a_vm_has_one_id() -> None:
    """Whoever makes it; another cluster that shows the id has another one."""
    operation = bulk()
    part = turns.begun(operation, TARGETS, waiting("a"), NOW)
    assert part.id == turns.begun(operation, TARGETS, waiting("a"), NOW + timedelta(1)).id
    assert part.id != operation.part_id("romulus", "a")  # type: ignore[arg-type]
    left_out = turns.left_out(part, turns.Stop(S.SKIPPED, "the VM is gone"))
    assert (left_out.has_ended, left_out.ended_at, left_out.parent) == (True, NOW, "bulk-1")


def test_token_does_not_depend_on_the_order() -> None:
    """JSONB in Postgres keeps no order of members."""
    other = ClusterTargets(datacenter="dc-solna", cluster="vulcan", vms={"dev": ["c"], "prod": ["b", "a"]})
    assert token_of(bulk()) == token_of(bulk(targets=[other]))
    assert token_of(bulk()) != token_of(bulk(action=Action.STOP))
