"""Kubernetes objects as plain JSON, encoded the way an apiserver encodes custom resources.

Keys are sorted, so that `metadata` of a list comes last and `type` of a watch event stands first only because
the event line is joined by hand. Each read decodes again, so a manifest may be changed freely.
"""

import copy
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

Manifest = dict[str, Any]

encode = msgspec.json.Encoder(order="sorted").encode
_decoder = msgspec.json.Decoder(dict[str, Any])


def decode(data: bytes) -> Manifest:
    """A fresh manifest from JSON. Raises msgspec.DecodeError for anything but a JSON object."""
    return _decoder.decode(data)


def merge(target: Any, patch: Any) -> Any:
    """Apply an RFC 7386 merge patch: null removes, objects merge, anything else replaces."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), value)
    return merged


def timestamp(moment: datetime) -> str:
    """Kubernetes' metav1.Time: RFC 3339 in UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# Without exponents and fractions of a byte: nobody sizes a guest with them.
_QUANTITY = re.compile(r"^(?P<number>\d+(\.\d*)?|\.\d+)(?P<suffix>[KMGTPE]i|[kMGTPE]|)$")
_SUFFIXES = {f"{letter}i": 2 ** (10 * power) for power, letter in enumerate("KMGTPE", 1)}
_SUFFIXES |= {letter: 10 ** (3 * power) for power, letter in enumerate("kMGTPE", 1)} | {"": 1}


def size_in_bytes(quantity: object) -> int:
    """The bytes of "4Gi", "8G" or 1024. Raises ValueError for anything else."""
    found = _QUANTITY.match(str(quantity))
    if found is None or isinstance(quantity, bool):
        raise ValueError(f"{quantity!r} is not a quantity of memory")
    return int(Decimal(found["number"]) * _SUFFIXES[found["suffix"]])


def from_bytes(size: int) -> str:
    """A quantity as Kubernetes writes it: with the largest binary suffix that leaves a whole number."""
    for suffix in ("Ei", "Pi", "Ti", "Gi", "Mi", "Ki"):
        if size and size % _SUFFIXES[suffix] == 0:
            return f"{size // _SUFFIXES[suffix]}{suffix}"
    return str(size)


def metadata(manifest: Mapping[str, Any]) -> Manifest:
    """The metadata of a manifest, {} where it has none."""
    found = manifest.get("metadata")
    return found if isinstance(found, dict) else {}


def part(manifest: Mapping[str, Any], *path: str) -> Manifest:
    """A copy of the object at a path, {} where it is absent or null: manifests from outside have both."""
    for name in path:
        found = manifest.get(name)
        manifest = found if isinstance(found, dict) else {}
    return dict(manifest)


def key(manifest: Mapping[str, Any]) -> tuple[str, str]:
    """Namespace ("" for cluster-scoped) and name."""
    meta = metadata(manifest)
    return meta.get("namespace", ""), meta["name"]


def conditions(manifest: Mapping[str, Any]) -> dict[str, Manifest]:
    listed = (manifest.get("status") or {}).get("conditions") or []
    return {condition["type"]: condition for condition in listed}


def set_condition(manifest: Manifest, kind: str, status: str, **fields: Any) -> None:
    """Add or replace one status condition, keeping the place of the others."""
    listed = manifest.setdefault("status", {}).setdefault("conditions", [])
    wanted = {"lastProbeTime": None, "lastTransitionTime": None, "status": status, "type": kind} | fields
    for index, condition in enumerate(listed):
        if condition["type"] == kind:
            listed[index] = wanted
            return
    listed.append(wanted)


def drop_condition(manifest: Manifest, kind: str) -> None:
    """Remove a condition: KubeVirt marks Paused, AgentConnected and others by presence."""
    status = manifest.get("status") or {}
    status["conditions"] = [held for held in status.get("conditions", []) if held["type"] != kind]


def owners(manifest: Mapping[str, Any]) -> Iterator[Manifest]:
    """The ownerReferences that are controllers."""
    for owner in metadata(manifest).get("ownerReferences") or ():
        if owner.get("controller"):
            yield owner
