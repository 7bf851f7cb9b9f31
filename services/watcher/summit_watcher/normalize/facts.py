"""Facts: what is kept of an object, compact, frozen, and with repeated values stored once.

10 000 VMs and their instances stay under a kilobyte each (measured: whole typed manifests take six), because equal
strings, figures and keys are one object.
"""

import sys
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec

from summit_watcher.kube.manifests.guest import Condition
from summit_watcher.kube.manifests.metadata import Metadata

MAX_TEXT = 253
"""Characters; the longest name Kubernetes allows. The guest agent is inside the guest: its texts are not trusted."""

MAX_RESOURCE_VERSION = 2**63 - 1
_MAX_DIGITS = len(str(MAX_RESOURCE_VERSION))

NO_LABELS: dict[str, str] = {}


class Facts(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The identity of an object, and what every kind has. `gc=False` is safe, since facts hold only values."""

    uid: str
    namespace: str
    """Empty for an object of the cluster."""
    name: str
    resource_version: int
    """0 if it is not a number. Versions are opaque by contract, and compared as integers in practice (KEP-5504)."""
    created_at: datetime | None = None
    deleting: bool = False
    """deletionTimestamp is set; finalizers may keep it so for hours."""
    problems: tuple[str, ...] = ()


def text(value: str | None, longest: int = MAX_TEXT) -> str | None:
    """A text fit to be published: printable, of bounded length, None if empty. Postgres refuses NUL in any text."""
    if value and value.isprintable() and len(value) <= longest:
        return sys.intern(value)
    return _made_fit(value, longest) if value else None


shared_text = lru_cache(maxsize=4096)(text)
"""`text` for values that many objects share: labels, namespaces, phases. Use it only where the API server bounds the
length, since the cache keeps the value as it came; not for names and uids, which would evict the others.
"""


def _made_fit(value: str, longest: int) -> str | None:
    fit = "".join(c if c.isprintable() else " " for c in value[:longest]).strip()
    return sys.intern(fit) or None


def head_of(metadata: Metadata) -> dict[str, Any]:
    """The fields of `Facts` that come from the metadata of an object."""
    return {
        "uid": text(metadata.uid) or "",
        "namespace": shared_text(metadata.namespace) or "",
        "name": name_of(metadata),
        "resource_version": version_of(metadata),
        "created_at": timestamp(metadata.creation_timestamp),
        "deleting": metadata.deletion_timestamp is not None,
    }


def name_of(metadata: Metadata) -> str:
    """metadata.name, or the uid of an object without a name: an event needs a subject."""
    return text(metadata.name) or text(metadata.uid) or "-"


def version_of(metadata: Metadata) -> int:
    return number_of(metadata.resource_version or "")


def number_of(version: str) -> int:
    """A resourceVersion as a number, to be compared within one resource; 0 if it is not a number."""
    if len(version) > _MAX_DIGITS or not (version.isascii() and version.isdigit()):
        return 0
    number = int(version)
    return number if number <= MAX_RESOURCE_VERSION else 0


def labels_of(metadata: Metadata) -> dict[str, str]:
    labels = metadata.labels
    if not labels:
        return NO_LABELS
    return {shared_text(key) or "": shared_text(value) or "" for key, value in labels.items() if value is not None}


_NO_TIME = datetime.min.replace(tzinfo=UTC)
"""Go's zero time, `0001-01-01T00:00:00Z`: what its clients write for a time that nobody has set."""


def timestamp(value: str | None) -> datetime | None:
    """An RFC 3339 time in UTC; None if it is missing, null, Go's zero time, malformed or without a zone."""
    if not value:
        return None
    try:
        moment = datetime.fromisoformat(value)
        in_utc = moment.astimezone(UTC) if moment.tzinfo else None
    except (ValueError, OverflowError):  # OverflowError: year 1 or 9999, moved out of range by its zone
        return None
    return None if in_utc == _NO_TIME else in_utc


def unreadable(decode_problems: tuple[str, ...], *paths: str) -> bool:
    """Whether a member at, above or below one of `paths` had the wrong type and was left out.

    Then a missing member means nothing: a topology whose `cores` is an array is not a topology of one core.
    """
    wrong = [problem.partition(":")[0] for problem in decode_problems]
    return any(_within(one, path) or _within(path, one) for one in wrong for path in paths)


def _within(path: str, above: str) -> bool:
    return path.startswith(above) and path[len(above) : len(above) + 1] in ("", ".", "[")


_CONDITION_VALUES = {"True": True, "False": False}


def conditions_of(conditions: list[Condition | None] | None) -> dict[str, bool]:
    """Type to value of the conditions that are True or False.

    "Unknown" or any other value counts as absent. Many conditions are removed rather than set to False, so absence has
    a meaning of its own.
    """
    return {
        condition.type: _CONDITION_VALUES[condition.status]
        for condition in conditions or ()
        if condition is not None and condition.type and condition.status in _CONDITION_VALUES
    }
