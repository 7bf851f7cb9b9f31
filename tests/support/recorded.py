"""Compare a recorded document with one of today: members may be added, but none may be missing."""

import re
from typing import Any

_PLACEHOLDERS = {
    "<time>": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"),
    "<uuid>": re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
}


def difference(expected: Any, found: Any, where: str = "body") -> str | None:
    """Where `found` lacks a member of `expected`, or has another value; more members are welcome."""
    if isinstance(expected, dict) and isinstance(found, dict):
        missing = expected.keys() - found.keys()
        if missing:
            return f"{where} has no {sorted(missing)}"
        return next(filter(None, (difference(v, found[k], f"{where}.{k}") for k, v in expected.items())), None)
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = enumerate(zip(expected, found, strict=True))
        return next(filter(None, (difference(e, f, f"{where}[{n}]") for n, (e, f) in pairs)), None)
    if isinstance(expected, str) and (pattern := _PLACEHOLDERS.get(expected)):
        return None if isinstance(found, str) and pattern.fullmatch(found) else f"{where} is {found!r}, not {expected}"
    return None if expected == found else f"{where} is {found!r}, not {expected!r}"
