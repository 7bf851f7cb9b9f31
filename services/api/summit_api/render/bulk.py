"""Operations on many VMs as answers show them, and what one would do."""

from collections import Counter
from collections.abc import Container, Mapping
from typing import Any

import msgspec

from summit_api.bulk.asking import Planned
from summit_api.query.bulk_operations import BulkPage, BulkRow, BulkStep
from summit_api.query.transaction.read_transaction import ReadTransaction
from summit_api.render.inventory import listed
from summit_api.shapes.bulk import BulkCluster, BulkCounts, BulkOperationAnswer, BulkPlanAnswer
from summit_models.bulk_operation import BulkSummary
from summit_models.contract import ClusterName
from summit_models.operation import OperationState


def item(step: BulkStep, counts: Mapping[ClusterName, Counter[OperationState]], fresh: Container[str]) -> bytes:
    """An operation on many VMs as GET /api/v1/bulk-operations/{id} shows it."""
    operation = step.operation
    summary = {name: getattr(operation, name) for name in BulkSummary.model_fields}
    total: Counter[OperationState] = sum(counts.values(), Counter())
    answer = BulkOperationAnswer(
        **summary,
        observed_at=step.observed_at,
        revision=step.revision,
        counts=_counts(total, operation.total),
        clusters=[
            BulkCluster(
                datacenter=targets.datacenter,
                cluster=targets.cluster,
                total=targets.total,
                counts=_counts(counts.get(targets.cluster, Counter()), targets.total),
                available=targets.cluster in fresh,
            )
            for targets in operation.targets
        ],
    )
    return answer.model_dump_json().encode()


def page(found: BulkPage, transaction: ReadTransaction) -> bytes:
    return listed(",".join(map(_bulk_row, found.rows)), transaction, next=found.next)


def plan(planned: Planned) -> bytes:
    freshness = {"revision": planned.position.revision, "position": str(planned.position), "as_of": planned.as_of}
    return BulkPlanAnswer(**dict(planned.plan.shown()), **freshness).model_dump_json().encode()


def _bulk_row(row: BulkRow) -> str:
    total = msgspec.json.decode(row.json, type=_Total).total
    counted = _counts({} if row.counts is None else msgspec.json.decode(row.counts), total)
    return f'{row.json[:-1]},"counts":{counted.model_dump_json()}}}'


class _Total(msgspec.Struct):
    total: int


def _counts(by_state: Mapping[Any, int], total: int) -> BulkCounts:
    states = {str(state): count for state, count in by_state.items()}
    return BulkCounts(waiting=total - sum(states.values()), **states)
