"""The log lines about single VMs of one cluster, for people: what changed, up to ten a minute.

The first list of a cluster and a storm would hide all other lines, so the others are at DEBUG, and one line a minute
has their number.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from enum import StrEnum

from summit_models.event import VmEventType
from summit_models.vm import Vm
from summit_watcher.config.datacenters import ClusterConfig
from summit_watcher.inventory.diff import Outgoing

logger = logging.getLogger("summit.watcher")

LINES_A_MINUTE = 10
"""Fifty clusters that change now and then stay readable; who looks for more uses LOG_LEVEL=DEBUG or the history."""
MINUTE = 60.0
FIELDS_SHOWN = 4
"""A VM that starts changes a dozen: status comes first, and the history has the rest."""
CHARACTERS_SHOWN = 60
"""Of one value: names are shorter, and labels are not shown."""

_VERBS: dict[StrEnum, str] = {
    VmEventType.CREATED: "Added",
    VmEventType.UPDATED: "Modified",
    VmEventType.DELETED: "Deleted",
}


class ActivityLog:
    def __init__(self, cluster: ClusterConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._cluster = cluster
        self._clock = clock
        self._began_at = float("-inf")
        self._lines = 0
        self._others = Counter[str]()

    def log(self, event: Outgoing, *, is_first_list: bool = False) -> None:
        """Log what happened to a VM. A migration shows in the changes of the VM that it moves."""
        verb = _VERBS.get(event.type)
        if verb is None or not isinstance(event.model, Vm):
            return
        level = logging.DEBUG if is_first_list else self._level(verb)
        if not logger.isEnabledFor(level):
            return
        name, cluster = f"{event.model.namespace}/{event.model.name}", self._cluster
        context = {"cluster": cluster.name, "datacenter": cluster.datacenter, "subject": event.subject}
        message = "VM event: %s for VM %s in cluster %s%s"
        logger.log(level, message, verb, name, cluster.name, _what(event, event.model), extra=context)

    def summarize(self) -> None:
        """When a minute is over, log how many changes of it had no line at INFO."""
        if self._clock() < self._began_at + MINUTE:
            return
        if count := self._others.total():
            kinds = ", ".join(f"{number} {verb}" for verb, number in self._others.items())
            message = "cluster %s: %d more changes of VMs within a minute (%s); LOG_LEVEL=DEBUG logs each"
            logger.info(message, self._cluster.name, count, kinds, extra={"cluster": self._cluster.name})
        self._lines = 0
        self._others.clear()

    def _level(self, verb: str) -> int:
        self.summarize()
        if not self._lines:
            self._began_at = self._clock()
        self._lines += 1
        if self._lines <= LINES_A_MINUTE:
            return logging.INFO
        self._others[verb] += 1
        return logging.DEBUG


def _what(event: Outgoing, vm: Vm) -> str:
    """The state of a new VM, or the changed members with old and new value, such as ": status starting → running"."""
    if event.type is VmEventType.DELETED:
        return ""
    if event.type is VmEventType.CREATED:
        return f": status {vm.status}"
    now = vm.model_dump(by_alias=True)
    names = sorted(event.changes, key=lambda name: name != "status")
    shown = [_change(name, event.changes[name], now.get(name)) for name in names[:FIELDS_SHOWN]]
    more = [f"{len(names) - FIELDS_SHOWN} more"] if len(names) > FIELDS_SHOWN else []
    return f": {', '.join([*shown, *more])}" if shown else ""


def _change(name: str, old: object, new: object) -> str:
    if isinstance(old, dict | list) or isinstance(new, dict | list):
        return name
    return f"{name} {_text(old)} → {_text(new)}"


def _text(value: object) -> str:
    if value is None:
        return "none"
    text = value.isoformat(timespec="seconds") if isinstance(value, datetime) else str(value)
    return text if len(text) <= CHARACTERS_SHOWN else f"{text[: CHARACTERS_SHOWN - 1]}…"
