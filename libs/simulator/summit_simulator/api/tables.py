"""Tables: how the server renders objects for `kubectl get` (meta.k8s.io/v1 Table).

Columns are the CRDs' additionalPrinterColumns (kubevirt, generate/components/crds.go).
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from summit_simulator.api.pages import Page
from summit_simulator.api.resources import (
    CLUSTER_INSTANCETYPES,
    INSTANCETYPES,
    KUBEVIRTS,
    MIGRATIONS,
    NAMESPACES,
    NODES,
    VIRTUALMACHINEINSTANCES,
    VIRTUALMACHINES,
    Resource,
)
from summit_simulator.objects.manifest import Manifest, conditions, encode, metadata
from summit_simulator.objects.store import Record, event_line


class Column(NamedTuple):
    """One column; priority above 0 is shown by `-o wide` only."""

    name: str
    cell: Callable[[Manifest], Any]
    priority: int = 0


def wants_table(accept: str) -> bool:
    """Does the client accept a Table of meta.k8s.io/v1?"""
    return any("as=Table" in part and "v=v1;" in f"{part.strip()};" for part in accept.split(","))


def render(resource: Resource, page: Page, *, include: str) -> bytes:
    """A page of a list as a Table."""
    table = _table(resource, [record.manifest() for record in page.records], include)
    return encode(table | {"metadata": page.metadata()})


def render_one(resource: Resource, record: Record, *, include: str) -> bytes:
    """One object as a Table with one row."""
    table = _table(resource, [record.manifest()], include)
    return encode(table | {"metadata": {"resourceVersion": str(record.revision)}})


def event_lines(resource: Resource, *, include: str) -> Callable[[str, Record], bytes]:
    """Renders watch events: each carries a Table with one row."""
    return lambda kind, record: event_line(kind, render_one(resource, record, include=include))


def bookmark(resource: Resource) -> Callable[[Manifest], Manifest]:
    """Renders bookmarks: a Table with one row that has metadata only."""

    def wrapped(manifest: Manifest) -> Manifest:
        table = _table(resource, [], "None")
        table["rows"] = [{"cells": [""] * len(_columns(resource)), "object": manifest}]
        return table | {"metadata": {"resourceVersion": manifest["metadata"]["resourceVersion"]}}

    return wrapped


def _table(resource: Resource, manifests: Iterable[Manifest], include: str) -> Manifest:
    columns = _columns(resource)
    definitions = [
        {
            "name": column.name,
            "type": "string",
            "format": "name" if column.name == "Name" else "",
            "description": column.name,
            "priority": column.priority,
        }
        for column in columns
    ]
    rows = [
        {"cells": [column.cell(manifest) for column in columns]} | _row_object(manifest, include)
        for manifest in manifests
    ]
    table = {"apiVersion": "meta.k8s.io/v1", "kind": "Table", "columnDefinitions": definitions, "rows": rows}
    return table | {"metadata": {}}


def _row_object(manifest: Manifest, include: str) -> Manifest:
    if include == "None":
        return {}
    if include == "Object":
        return {"object": manifest}
    partial = {"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata"}
    return {"object": partial | {"metadata": metadata(manifest)}}


def _columns(resource: Resource) -> tuple[Column, ...]:
    return (Column("Name", _name), *_COLUMNS.get(resource, (Column("Age", _age),)))


def _name(manifest: Manifest) -> str:
    return str(metadata(manifest)["name"])


def _age(manifest: Manifest) -> str:
    created = datetime.fromisoformat(metadata(manifest)["creationTimestamp"])
    seconds = max(0, int((datetime.now(UTC) - created).total_seconds()))
    for unit, length, until in (("s", 1, 120), ("m", 60, 7200), ("h", 3600, 172800)):
        if seconds < until:
            return f"{seconds // length}{unit}"
    return f"{seconds // 86400}d"


def _condition(kind: str) -> Callable[[Manifest], str]:
    return lambda manifest: str(conditions(manifest).get(kind, {}).get("status", ""))


def _at(*path: str | int) -> Callable[[Manifest], Any]:
    def cell(manifest: Manifest) -> Any:
        found: Any = manifest
        for part in path:
            if isinstance(part, int):
                found = found[part] if isinstance(found, list) and len(found) > part else None
            else:
                found = found.get(part) if isinstance(found, dict) else None
        return "" if found is None else found

    return cell


_AGE = Column("Age", _age)
_SIZE = (Column("CPU", _at("spec", "cpu", "guest")), Column("Memory", _at("spec", "memory", "guest")))
_COLUMNS: dict[Resource, tuple[Column, ...]] = {
    VIRTUALMACHINES: (
        _AGE,
        Column("Status", _at("status", "printableStatus")),
        Column("Ready", _condition("Ready")),
    ),
    VIRTUALMACHINEINSTANCES: (
        _AGE,
        Column("Phase", _at("status", "phase")),
        Column("IP", _at("status", "interfaces", 0, "ipAddress")),
        Column("NodeName", _at("status", "nodeName")),
        Column("Ready", _condition("Ready")),
        Column("Live-Migratable", _condition("LiveMigratable"), 1),
        Column("Paused", _condition("Paused"), 1),
    ),
    MIGRATIONS: (Column("Phase", _at("status", "phase")), Column("VMI", _at("spec", "vmiName"))),
    KUBEVIRTS: (_AGE, Column("Phase", _at("status", "phase"))),
    INSTANCETYPES: (*_SIZE, _AGE),
    CLUSTER_INSTANCETYPES: (*_SIZE, _AGE),
    NAMESPACES: (Column("Status", _at("status", "phase")), _AGE),
    NODES: (
        Column("Status", lambda node: "Ready" if _condition("Ready")(node) == "True" else "NotReady"),
        Column("Roles", lambda _: "worker"),
        _AGE,
        Column("Version", _at("status", "nodeInfo", "kubeletVersion")),
    ),
}
