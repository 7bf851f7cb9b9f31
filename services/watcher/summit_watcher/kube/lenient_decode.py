"""Decoding a manifest in which some members have the wrong type: those are left out and named, the others are kept.

A typed decode stops at the first wrong type and names its place. So decode untyped, remove that place, and try again.
This is slow (a few decodes per object), but only objects that no API server with KubeVirt's own CRDs serves need it.
"""

import re
from typing import Any, TypeVar

import msgspec

from summit_watcher.kube.errors import UNREADABLE
from summit_watcher.kube.manifests.metadata import Manifest, Part

T = TypeVar("T", bound=Manifest)

MAX_REMOVED = 20
"""Beyond it only the metadata is kept: an object with more wrong members is not of its kind."""

_ERROR = re.compile(r"(?P<error>.*) - at (?:`key` in )?`\$(?P<path>.*)`", re.DOTALL)


class _OnlyMetadata(Part):
    metadata: msgspec.Raw = msgspec.Raw(b"{}")


def decode_leniently(data: bytes, kind: type[T]) -> T | None:
    """Decode one object without the members of a wrong type: `decode_problems` names them. None if it is no object."""
    try:
        document = msgspec.json.decode(data)
    except msgspec.ValidationError:  # a number such as 1e999 is valid JSON, but no type can hold it
        return _metadata_only(data, kind)
    except UNREADABLE:
        return None
    manifest, problems = _read(document, kind)
    if manifest is None:
        return _metadata_only(data, kind)
    manifest.decode_problems = problems
    return manifest


def _metadata_only(data: bytes, kind: type[T]) -> T | None:
    try:
        metadata = msgspec.json.decode(msgspec.json.decode(data, type=_OnlyMetadata).metadata)
    except UNREADABLE:
        return None
    manifest, problems = _read({"metadata": metadata}, kind)
    if manifest is not None:
        manifest.decode_problems = (*problems, "spec: unreadable", "status: unreadable")
    return manifest


def _read(document: Any, kind: type[T]) -> tuple[T | None, tuple[str, ...]]:
    """Convert `document`. Changes it: each member of the wrong type is removed from it."""
    problems: list[str] = []
    while len(problems) < MAX_REMOVED:
        try:
            return msgspec.convert(document, kind), tuple(problems)
        except msgspec.ValidationError as error:
            found = _ERROR.fullmatch(str(error))
            path = _removed(document, found["path"]) if found else None
            if not found or path is None:
                break
            problems.append(f"{path.lstrip('.')}: {_plain(found['error'])}")
    return None, tuple(problems)


def _plain(error: str) -> str:
    """Msgspec's message, such as `Expected `object | null`, got `array``, for readers of `problems`."""
    plain = error.replace(" | null", "").replace("`", "")
    return plain[:1].lower() + plain[1:]


def _removed(document: Any, path: str) -> str | None:
    """The path of what was removed; a map whose values have the right type, but not the right length, goes whole."""
    for candidate in dict.fromkeys((path, path.removesuffix("[...]"))):
        if _remove(document, candidate):
            return candidate
    return None


def _remove(document: Any, path: str) -> bool:
    """Remove the node at a path such as `.spec.volumes[0].name`. False if there is none."""
    node = document
    while path:
        if path == "[...]" and isinstance(node, dict):  # msgspec does not name the key of a map, such as a label
            return _remove_values(node)
        step = _step(node, path)
        if step is None:
            return False
        key, path = step
        if not path:
            _leave_out(node, key)
            return True
        node = node[key]
    return False


def _step(node: Any, path: str) -> tuple[Any, str] | None:
    """The key of the next node on a path, and the rest of the path.

    Names are matched against the existing keys, longest first, since they may contain dots (`vm.kubevirt.io/os`).
    """
    if isinstance(node, list):
        found = re.match(r"\[(\d+)\]", path)
        return (int(found[1]), path[found.end() :]) if found and int(found[1]) < len(node) else None
    if isinstance(node, dict) and path.startswith("."):
        path = path[1:]
        keys = [k for k in node if path.startswith(k) and path[len(k) : len(k) + 1] in ("", ".", "[")]
        key = max(keys, key=len, default=None)
        return None if key is None else (key, path[len(key) :])
    return None


def _leave_out(node: Any, key: Any) -> None:
    if isinstance(node, list):
        node[key] = None  # so that the other elements keep their places
    else:
        del node[key]


def _remove_values(node: dict[str, Any]) -> bool:
    wrong = [key for key, value in node.items() if not isinstance(value, str)]
    for key in wrong:
        del node[key]
    return bool(wrong)
