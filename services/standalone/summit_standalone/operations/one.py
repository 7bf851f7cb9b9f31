"""One operation, on one VM or on many: all that is known of it, its steps, and what people do to it."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal, TypeVar

from summit_standalone.bulk.course import Course
from summit_standalone.commands.table import render
from summit_standalone.operating.act import Act, full_name, words_of
from summit_standalone.operating.screen import line
from summit_standalone.operations.listing import BULK, PATH, is_bulk
from summit_standalone.remote.client import Answer, ApiClient, ApiError, Json

Change = Literal["cancel", "pause", "resume"]
T = TypeVar("T")

_STEPS = 500
"""The most that the api has in one page. An operation has a dozen."""


async def find(client: ApiClient, id_: str) -> Answer:
    """The operation with this id, on one VM or on many."""
    return await _either(lambda path: client.get(f"{path}/{id_}"))


async def change(client: ApiClient, id_: str, what: Change) -> Json:
    """Cancel, pause or resume it, and return what it is now. Only an operation on many VMs has a pause."""
    if what == "cancel":
        canceled: Json = await _either(lambda path: client.send("DELETE", f"{path}/{id_}"))
        return canceled
    changed: Json = await client.send("POST", f"{BULK}/{id_}/{what}")
    return changed


async def _either(ask: Callable[[str], Awaitable[T]]) -> T:
    try:
        return await ask(PATH)
    except ApiError as error:
        if error.status != 404:
            raise
        try:
            return await ask(BULK)
        except ApiError as other:
            raise (error if other.status == 404 else other) from None


async def show(client: ApiClient, id_: str) -> tuple[Json, Sequence[Json]]:
    """One operation, and its steps, newest first."""
    operation, _ = await find(client, id_)
    path = BULK if is_bulk(operation) else PATH
    steps, _ = await client.get(f"{path}/{id_}/events", [("limit", str(_STEPS))])
    return operation, steps["items"]


def described(operation: Json, steps: Sequence[Json]) -> str:
    """Each member with a value, and the steps, oldest first."""
    found = _bulk_members(operation) if is_bulk(operation) else _members(operation)
    members = [(name, _cell(value)) for name, value in found.items() if value not in (None, "", {})]
    width = max(len(name) for name, _ in members)
    lines = [f"{name:<{width}}   {value}" for name, value in members]
    rows = [(_time(step["observedAt"]), *_step(step)) for step in reversed(steps)]
    return "\n".join([*lines, "", render(("STEP", "STATE", "WHAT"), rows)])


def line_of(operation: Json) -> str:
    return Course(operation).text if is_bulk(operation) else line(Act.of(operation))


def _bulk_members(operation: Json) -> Mapping[str, object]:
    away = [cluster["cluster"] for cluster in operation["clusters"] if not cluster["available"]]
    return {
        "bulk operation": operation["id"],
        "action": operation["action"],
        "parameters": operation["parameters"],
        "filters": operation["filters"],
        "state": operation["state"],
        "message": operation["message"],
        "VMs": operation["total"],
        **{f"  {state}": count or None for state, count in operation["counts"].items()},
        "clusters away": ", ".join(away),
        "at once": f"{operation['maxParallelPerCluster']} per cluster, {operation['maxParallelPerNode']} per node",
        "failures": f"at most {operation['maxFailures']}" if operation["maxFailures"] else "any number",
        "asked by": operation.get("by"),
        "requested": _time(operation["requestedAt"]),
        "ended": _time(operation.get("endedAt")),
        "deadline": _time(operation["deadline"]),
        "each VM": f"summit-connect operations --parent {operation['id']}",
    }


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
