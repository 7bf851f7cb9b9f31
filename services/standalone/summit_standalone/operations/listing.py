"""The list of operations: a line for each, newest first."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from summit_standalone.commands.table import render
from summit_standalone.operating.act import full_name, has_ended, seconds_of, words_of
from summit_standalone.remote.client import ApiClient, Json, Query

PATH = "/api/v1/operations"
BULK = "/api/v1/bulk-operations"
_PAGE = 500
HEADER = ("ID", "ACTION", "VM", "CLUSTER", "STATE", "AGE", "TOOK", "BY", "MESSAGE")

_BULK_HEADER = ("ID", "ACTION", "STATE", "DONE", "UNSUCCESSFUL", "AGE", "TOOK", "BY", "MESSAGE")

Filters = Mapping[str, Sequence[str]]
"""Values of parameters of the list: any of the values, all of the parameters."""


async def page(client: ApiClient, filters: Filters, limit: int, path: str = PATH) -> tuple[list[Json], str]:
    """The newest operations, newest first, and where a feed continues after them."""
    query: Query = [(name, value) for name, values in filters.items() for value in values]
    items: list[Json] = []
    position, cursor = "", ""
    while len(items) < limit:
        size = [("limit", str(min(_PAGE, limit - len(items))))]
        answer = await client.get(path, [*query, *size, *([("cursor", cursor)] if cursor else [])])
        items += answer.body["items"]
        position = position or answer.position
        if not (cursor := answer.body["next"] or ""):
            break
    return items, position


def as_text(operations: Sequence[Json], now: datetime) -> str:
    if not operations:
        return "there is no such operation"
    if is_bulk(operations[0]):
        return render(_BULK_HEADER, [_bulk_row(operation, now) for operation in operations])
    return render(HEADER, [row(operation, now) for operation in operations])


def is_bulk(operation: Json) -> bool:
    """Whether it is one on many VMs."""
    return "total" in operation


def _bulk_row(operation: Json, now: datetime) -> tuple[object, ...]:
    counts = operation["counts"]
    done = operation["total"] - counts["waiting"] - counts["pending"] - counts["running"] - counts["canceling"]
    bad = counts["failed"] + counts["expired"] + counts["canceled"] + counts["skipped"]
    took = f"{seconds_of(operation, now)}s" if operation.get("endedAt") else None
    times = (short(now - datetime.fromisoformat(operation["requestedAt"])), took)
    done_of = f"{done}/{operation['total']}"
    head = (operation["id"], operation["action"], operation["state"], done_of, bad)
    return (*head, *times, operation.get("by"), operation["message"])


def row(operation: Json, now: datetime) -> tuple[object, ...]:
    took = f"{seconds_of(operation, now)}s" if has_ended(operation) else None
    action = f"{operation['action']} (dry run)" if operation.get("dryRun") else operation["action"]
    age = short(now - datetime.fromisoformat(operation["requestedAt"]))
    vm, cluster = full_name({"namespace": operation["namespace"], "name": operation["vmName"]}), operation["cluster"]
    state = (operation["state"], age, took, operation.get("by"), words_of(operation))
    return (operation["id"], action, vm, cluster, *state)


def short(duration: timedelta) -> str:
    """Its greatest unit, as in kubectl."""
    seconds = max(0, int(duration.total_seconds()))
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"
