"""Addresses that blink: a VM that loses some of its addresses keeps them for some seconds, as they often return.

Guest agents restart, and migrations hide an interface for a moment. Each blink would be two events, and an address that
nobody can find. Only addresses wait: a new one counts at once, and so does the end of the instance.
"""

import asyncio
import time
from collections.abc import Callable

import msgspec

from summit_models.contract import Uid
from summit_models.vm import Vm
from summit_watcher.inventory.published import VM_CODEC


class LostAddresses:
    """The VMs that have just lost some of their addresses. There are few of them at any time."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self.some = asyncio.Event()
        """Set while there are any."""
        self._clock = clock
        self._since: dict[Uid, float] = {}

    def steadied(self, vm: Vm, last: bytes) -> Vm:
        """The VM with the addresses of its last published state, if it has lost some of them just now."""
        if b'"ips":' + msgspec.json.encode(vm.ips) in last:  # to parse the state for each change is expensive
            self._since.pop(vm.id, None)
            return vm
        before = VM_CODEC.decode(last)
        is_same_instance = vm.started_at is not None and vm.started_at == before.started_at
        if not is_same_instance or not set(vm.ips) < set(before.ips):
            self._since.pop(vm.id, None)
            return vm
        since = self._since.setdefault(vm.id, self._clock())
        self.some.set()
        if self._clock() >= since + self.seconds:
            return vm
        return vm.model_copy(update={"ip": before.ip, "ips": before.ips})

    def due(self) -> list[Uid]:
        """The VMs whose addresses have been lost for long enough."""
        now = self._clock()
        return [uid for uid, since in self._since.items() if now >= since + self.seconds]

    def forget(self, vms: list[Uid]) -> None:
        """These have been compared again, or are gone."""
        for uid in vms:
            self._since.pop(uid, None)
        if not self._since:
            self.some.clear()
