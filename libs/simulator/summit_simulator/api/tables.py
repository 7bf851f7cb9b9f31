"""Tables: how the server renders objects for `kubectl get` (meta.k8s.io/v1 Table).

Columns are the CRDs' additionalPrinterColumns (kubevirt, generate/components/crds.go). A watch sends plain objects,
which kubectl prints by name and age.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from summit_simulator.objects.manifest import Manifest, conditions, encode, metadata, part
from summit_simulator.objects.resources import MIGRATIONS, VIRTUALMACHINEINSTANCES, VIRTUALMACHINES, Resource
from summit_simulator.objects.store import Record

Cell = Callable[[Manifest], Any]


def is_wanted(accept: str) -> bool:
    """Whether the client accepts a Table of meta.k8s.io/v1."""
    return any("as=Table" in offer and "v=v1;" in f"{offer.strip()};" for offer in accept.split(","))


def render(resource: Resource, records: Sequence[Record], meta: Manifest) -> bytes:
    """A Table with one row for each object, which carries the object's metadata."""
    columns = {"Name": _name} | _COLUMNS.get(resource, {"Age": _age})
    definitions = [
        {"name": name, "type": "string", "format": "name" if name == "Name" else "", "description": name, "priority": 0}
        for name in columns
    ]
    rows = [_row(columns.values(), record.manifest()) for record in records]
    table = {"apiVersion": "meta.k8s.io/v1", "kind": "Table", "columnDefinitions": definitions, "rows": rows}
    return encode(table | {"metadata": meta})


def _row(cells: Iterable[Cell], manifest: Manifest) -> Manifest:
    partial = {"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": metadata(manifest)}
    return {"cells": [cell(manifest) for cell in cells], "object": partial}


def _name(manifest: Manifest) -> str:
    return str(metadata(manifest)["name"])


def _age(manifest: Manifest) -> str:
    created = datetime.fromisoformat(metadata(manifest)["creationTimestamp"])
    seconds = max(0, int((datetime.now(UTC) - created).total_seconds()))
    for unit, length, until in (("s", 1, 120), ("m", 60, 7200), ("h", 3600, 172800)):
        if seconds < until:
            return f"{seconds // length}{unit}"
    return f"{seconds // 86400}d"


def _status(member: str) -> Cell:
    return lambda manifest: part(manifest, "status").get(member, "")


def _ready(manifest: Manifest) -> str:
    return str(conditions(manifest).get("Ready", {}).get("status", ""))


def _address(vmi: Manifest) -> str:
    interfaces = part(vmi, "status").get("interfaces") or [{}]
    return str(interfaces[0].get("ipAddress", ""))


_COLUMNS: dict[Resource, dict[str, Cell]] = {
    VIRTUALMACHINES: {"Age": _age, "Status": _status("printableStatus"), "Ready": _ready},
    VIRTUALMACHINEINSTANCES: {
        "Age": _age,
        "Phase": _status("phase"),
        "IP": _address,
        "NodeName": _status("nodeName"),
        "Ready": _ready,
    },
    MIGRATIONS: {"Phase": _status("phase"), "VMI": lambda migration: part(migration, "spec").get("vmiName", "")},
}
