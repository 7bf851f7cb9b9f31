"""Why a VM is not well: what the cluster itself says, in the message of the condition that says so.

Its counters change though its meaning does not ("0/6 nodes are available" becomes "0/7 nodes …", each retry names
another pod), so two sentences that differ in nothing else are the same trouble.
"""

import re
from collections.abc import Collection, Mapping, Sequence

from summit_watcher.kube.manifests.guest import Condition
from summit_watcher.normalize.facts import text

MAX_TROUBLE = 400
"""Characters: the scheduler's sentence about a hundred nodes fits, and an event stays small."""
PREFIX = "status: "

OF_VM: Mapping[str, str] = {"Failure": "True", "ManualRecoveryRequired": "True"}
"""Conditions of a VirtualMachine that say why, with the value that does. It copies those of its instance, which may be
out of date there: they are read where they come from."""
OF_INSTANCE: Mapping[str, str] = {"PodScheduled": "False", "Synchronized": "False", "Paused": "True"}
"""The same of an instance: it finds no node, cannot be synced (image, claim, hotplug), or stands still."""
_WELL = frozenset({"PausedByUser", "PausedByMigrationMonitor"})
"""Reasons that are nobody's trouble. A guest whose disk is full has PausedIOError."""
_QUERY = re.compile(r"\?[^\s\"']+")
"""A quoted URL may be presigned, with its secret in the query."""
_VARYING = re.compile(r"virt-launcher-\S+|\S*\d\S*")


def without_secrets(message: str) -> str:
    """A message of the cluster without the queries of its URLs."""
    return _QUERY.sub("?…", message)


def trouble_of(conditions: Sequence[Condition | None] | None, saying: Mapping[str, str]) -> tuple[str, ...]:
    """The sentences of the conditions that say why a VM is not well, for its `problems`.

    One of each type, as the type is their key in Kubernetes: thousands of one type would take seconds to compare.
    """
    found: dict[str, Condition] = {}
    for c in conditions or ():
        if c and c.type and c.status and c.status == saying.get(c.type):
            found.setdefault(c.type, c)
    return tuple(sentence for condition in found.values() if (sentence := _sentence(condition)))


def why_not(conditions: Sequence[Condition | None] | None, type_: str) -> str | None:
    """What the cluster says of a condition that is False: its reason and its message."""
    for condition in conditions or ():
        if condition and condition.type == type_ and condition.status == "False":
            return text(_said(condition), MAX_TROUBLE)
    return None


def why(conditions: Sequence[Condition | None] | None, types: Collection[str]) -> str | None:
    """What the cluster says of the first of these conditions that is True: its type, its reason and its message."""
    for condition in conditions or ():
        if condition and condition.type in types and condition.status == "True":
            return text(": ".join(filter(None, (condition.type, _said(condition)))), MAX_TROUBLE)
    return None


def are_same(sentence: str, other: str) -> bool:
    """Whether two sentences of the cluster differ in counters and names only."""
    return _VARYING.sub("#", sentence) == _VARYING.sub("#", other)


def _sentence(condition: Condition) -> str | None:
    said = None if condition.reason in _WELL else _said(condition)
    return text(PREFIX + said, MAX_TROUBLE) if said else None


def _said(condition: Condition) -> str | None:
    message = without_secrets((condition.message or "")[: 4 * MAX_TROUBLE])
    return ": ".join(part for part in (condition.reason, message) if part) or None


def steady(problems: Sequence[str], before: Sequence[str]) -> list[str]:
    """The problems, with the earlier sentence in place of each that means the same trouble."""
    known = {_VARYING.sub("#", problem): problem for problem in before if problem.startswith(PREFIX)}
    return [known.get(_VARYING.sub("#", p), p) if p.startswith(PREFIX) else p for p in problems]
