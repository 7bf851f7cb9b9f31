"""`summit-connect operations`: what was asked to be done, and how far it is."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

from summit_standalone.commands.table import render
from summit_standalone.operating.act import full_name, has_ended, seconds_of, words_of
from summit_standalone.remote.client import ApiClient, Json, Query
from summit_standalone.remote.feed import RESET, messages

_PATH = "/api/v1/operations"
_PAGE = 500
HEADER = ("ID", "ACTION", "VM", "CLUSTER", "STATE", "AGE", "TOOK", "BY", "MESSAGE")

Filters = Mapping[str, Sequence[str]]
"""Values of parameters of the list: any of the values, all of the parameters."""


async def page(client: ApiClient, filters: Filters, limit: int) -> tuple[list[Json], str]:
    """The newest operations, newest first, and where a feed continues after them."""
    query: Query = [(name, value) for name, values in filters.items() for value in values]
    items: list[Json] = []
    position, cursor = "", ""
    while len(items) < limit:
        size = [("limit", str(min(_PAGE, limit - len(items))))]
        answer = await client.get(_PATH, [*query, *size, *([("cursor", cursor)] if cursor else [])])
        items += answer.body["items"]
        position = position or answer.position
        if not (cursor := answer.body["next"] or ""):
            break
    return items, position


def as_text(operations: Sequence[Json], now: datetime) -> str:
    if not operations:
        return "there is no such operation"
    return render(HEADER, [row(operation, now) for operation in operations])


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


async def show(client: ApiClient, id_: str) -> tuple[Json, Sequence[Json]]:
    """One operation, and its steps, newest first."""
    operation, _ = await client.get(f"{_PATH}/{id_}")
    steps, _ = await client.get(f"{_PATH}/{id_}/events", [("limit", str(_PAGE))])
    return operation, steps["items"]


def described(operation: Json, steps: Sequence[Json]) -> str:
    """Each member with a value, and the steps, oldest first."""
    members = [(name, _cell(value)) for name, value in _members(operation).items() if value not in (None, "", {})]
    width = max(len(name) for name, _ in members)
    lines = [f"{name:<{width}}   {value}" for name, value in members]
    rows = [(_time(step["observedAt"]), *_step(step)) for step in reversed(steps)]
    return "\n".join([*lines, "", render(("STEP", "STATE", "WHAT"), rows)])


def _members(operation: Json) -> Mapping[str, object]:
    place = {"namespace": operation["namespace"], "name": operation["vmName"]}
    return {
        "operation": operation["id"],
        "action": f"{operation['action']}{' (dry run)' if operation.get('dryRun') else ''}",
        "parameters": operation.get("parameters"),
        "VM": f"{full_name(place)} ({operation['vmId']})",
        "cluster": f"{operation['cluster']} ({operation['datacenter']})",
        "state": operation["state"],
        "message": words_of(operation),
        "asked by": operation.get("by"),
        "part of": operation.get("parent"),
        "watcher": operation.get("executor"),
        "requested": _time(operation["requestedAt"]),
        "started": _time(operation.get("startedAt")),
        "ended": _time(operation.get("endedAt")),
        "deadline": _time(operation["deadline"]),
    }


def _time(text: str | None) -> str | None:
    return text and datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _cell(value: object) -> str:
    return json.dumps(value) if isinstance(value, dict) else " ".join(str(value).split())


def _step(step: Json) -> tuple[str, str]:
    """The state that it has reached, and what else has changed."""
    changes = {change["field"]: change["to"] for change in step["changes"]}
    by = (step["state"] or {}).get("by")
    watcher = changes.get("executor")
    words = [by and f"asked by {by}", watcher and f"watcher {watcher}", changes.get("progress"), changes.get("message")]
    return step["type"].rpartition(".")[2], ", ".join(" ".join(str(word).split()) for word in words if word)


async def watch(
    client: ApiClient, filters: Filters, limit: int, show: Callable[[Json], None], notify: Callable[[str], None]
) -> None:
    """Show these operations, then each step of one, until interrupted."""
    items, position = await page(client, filters, limit)
    for operation in reversed(items):
        show(operation)
    revisions = {operation["id"]: operation["revision"] for operation in items}
    async with aclosing(messages(client, position, _feed_query(filters), notify)) as feed:
        async for type_, payload in feed:
            changed = (await page(client, filters, limit))[0] if type_ == RESET else [payload.get("operation", {})]
            for operation in reversed(changed):
                if selects(filters, operation) and operation["revision"] > revisions.get(operation["id"], 0):
                    revisions[operation["id"]] = operation["revision"]
                    show(operation)


def _feed_query(filters: Filters) -> Query:
    places = ("datacenter", "cluster", "namespace")
    return [("types", "operation"), *((name, value) for name in places for value in filters.get(name, ()))]


def selects(filters: Filters, operation: Json) -> bool:
    """Whether the list with these filters has the operation. The feed knows only some of them."""
    if "id" not in operation:
        return False
    given = {"vm": operation["vmId"], "ended": str(has_ended(operation)).lower()}
    return all(
        given.get(name, operation.get(name)) in values for name, values in filters.items() if values and name != "since"
    )
