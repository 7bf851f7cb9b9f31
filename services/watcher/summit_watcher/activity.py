"""What people read in the log of single VMs: every change while it is quiet, none of them in a storm.

Above a hundred VMs a minute the lines go to debug level, so that a start with ten thousand VMs does not bury the rest.
"""

import logging
import time
from collections.abc import Callable

from summit_models.event import VmEvent, VmEventType

logger = logging.getLogger("summit.watcher")

LINES_A_MINUTE = 100


class ActivityLog:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._minute = -1
        self._lines = 0

    def tell(self, event: VmEvent) -> None:
        vm = event.data
        context = {"cluster": vm.cluster, "datacenter": vm.datacenter, "namespace": vm.namespace, "vm": vm.name}
        match event.type:
            case VmEventType.CREATED:
                logger.log(self._level(), "Added new VM %s to datacenter %s", vm.name, vm.datacenter, extra=context)
            case VmEventType.UPDATED:
                self._changed("Modified", vm.name, vm.cluster, context)
            case VmEventType.DELETED:
                self._changed("Deleted", vm.name, vm.cluster, context)
            case VmEventType.OBSERVED:
                pass

    def _changed(self, what: str, name: str, cluster: str | None, context: dict[str, str | None]) -> None:
        logger.log(self._level(), "VM event: %s for VM %s in cluster %s", what, name, cluster, extra=context)

    def _level(self) -> int:
        minute = int(self._clock() // 60)
        if minute != self._minute:
            self._minute, self._lines = minute, 0
        self._lines += 1
        if self._lines == LINES_A_MINUTE + 1:
            logger.info("more than %d VMs change in a minute: the others are told at debug level", LINES_A_MINUTE)
        return logging.INFO if self._lines <= LINES_A_MINUTE else logging.DEBUG
