"""The patch formats an apiserver takes for custom resources: RFC 7386 merge patch and RFC 6902 JSON patch.

Strategic merge patch is refused with 415, as for every CRD: its merge keys are known for built-in types only.
"""

import copy
from collections.abc import Sequence
from typing import Any

from summit_simulator.api.status import StatusError
from summit_simulator.objects.manifest import Manifest


def merge(target: Any, patch: Any) -> Any:
    """RFC 7386: null removes, objects merge, anything else replaces."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), value)
    return merged


def json_patch(document: Manifest, operations: Sequence[Manifest]) -> Manifest:
    """RFC 6902. Raises StatusError 422 if a path does not exist or a test fails, as the apiserver does."""
    result: Manifest = copy.deepcopy(document)
    for operation in operations:
        try:
            _apply(result, operation)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise StatusError(
                422,
                f"the server rejected our request due to an error in our request: {operation.get('op')} "
                f"{operation.get('path')}: {error}",
                reason="Invalid",
                details={},
            ) from error
    return result


def _apply(document: Manifest, operation: Manifest) -> None:
    kind, path = operation["op"], _pointer(operation["path"])
    match kind:
        case "add":
            _add(document, path, copy.deepcopy(operation["value"]))
        case "remove":
            _remove(document, path)
        case "replace":
            _remove(document, path)
            _add(document, path, copy.deepcopy(operation["value"]))
        case "test":
            if _get(document, path) != operation.get("value"):
                raise ValueError("test failed")
        case "copy":
            _add(document, path, copy.deepcopy(_get(document, _pointer(operation["from"]))))
        case "move":
            source = _pointer(operation["from"])
            moved = _get(document, source)
            _remove(document, source)
            _add(document, path, moved)
        case _:
            raise ValueError("unknown operation")


def _pointer(text: str) -> list[str]:
    if not text.startswith("/"):
        raise ValueError("a path starts with /")
    return [part.replace("~1", "/").replace("~0", "~") for part in text[1:].split("/")]


def _get(document: Any, path: list[str]) -> Any:
    for part in path:
        document = document[int(part)] if isinstance(document, list) else document[part]
    return document


def _add(document: Any, path: list[str], value: Any) -> None:
    parent, last = _get(document, path[:-1]), path[-1]
    if isinstance(parent, list):
        parent.insert(len(parent) if last == "-" else int(last), value)
    else:
        parent[last] = value


def _remove(document: Any, path: list[str]) -> None:
    parent, last = _get(document, path[:-1]), path[-1]
    del parent[int(last) if isinstance(parent, list) else last]
