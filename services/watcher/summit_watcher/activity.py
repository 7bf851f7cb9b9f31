"""Log lines of single VMs, for people: every change while there are few, none of them in a storm.

Above a hundred changes a minute the lines go to DEBUG, so that a start with ten thousand VMs does not hide all others.
"""

import logging
import time

from summit_models.event import VmEventType
from summit_watcher.config.datacenters import ClusterConfig
from summit_watcher.inventory.diff import Outgoing

logger = logging.getLogger("summit.watcher")

LINES_A_MINUTE = 100
_LOGGED = frozenset({VmEventType.CREATED, VmEventType.UPDATED, VmEventType.DELETED})


class ActivityLog:
    def __init__(self) -> None:
        self._minute = -1
        self._lines = 0

    def log(self, cluster: ClusterConfig, event: Outgoing) -> None:
        """Log what happened to a VM. A migration shows in the changes of the VM that it moves."""
        if event.type not in _LOGGED:
            return
        level = self._level()
        if not logger.isEnabledFor(level):
            return
        context = {"cluster": cluster.name, "datacenter": cluster.datacenter, "subject": event.subject}
        if event.type is VmEventType.CREATED:
            logger.log(level, "Added new VM %s to datacenter %s", event.name, cluster.datacenter, extra=context)
        else:
            what = "Modified" if event.type is VmEventType.UPDATED else "Deleted"
            logger.log(level, "VM event: %s for VM %s in cluster %s", what, event.name, cluster.name, extra=context)

    def _level(self) -> int:
        minute = int(time.monotonic() // 60)
        if minute != self._minute:
            self._minute, self._lines = minute, 0
        self._lines += 1
        if self._lines == LINES_A_MINUTE + 1:
            logger.info("more than %d VMs change in a minute: the others are logged at DEBUG", LINES_A_MINUTE)
        return logging.INFO if self._lines <= LINES_A_MINUTE else logging.DEBUG
