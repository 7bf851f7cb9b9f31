"""The controllers of one cluster and the clock they follow: what happens by itself as time passes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

from summit_simulator.controllers.machines import MachineController
from summit_simulator.controllers.migrations import MigrationController
from summit_simulator.objects.clock import Clock
from summit_simulator.objects.objects import Objects
from summit_simulator.objects.resources import MIGRATIONS, NODES, VIRTUALMACHINEINSTANCES, VIRTUALMACHINES
from summit_simulator.objects.store import Event, Store

# Far more steps than any seeded fleet needs: a cluster that does not settle is a defect of ours.
MAX_SETTLING_STEPS = 1_000_000


class Controllers:
    """Looks at each object that changes, and takes its next step when it is due."""

    def __init__(self, store: Store, objects: Objects, clock: Clock) -> None:
        self.machines = MachineController(objects, clock)
        self.migrations = MigrationController(objects, clock)
        self._clock = clock
        self._is_suspended = False
        store.listeners.append(self._consider)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Take steps as real time passes while the block runs; a clock of speed 0 only moves by hand."""
        if not self._clock.speed:
            yield
            return
        task = asyncio.create_task(self._clock.run(), name="clock")
        task.add_done_callback(_report)
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def settle(self) -> None:
        """Let time pass until no step is due any more, and let streams send on the way."""
        for _ in range(MAX_SETTLING_STEPS):
            if (wait := self._clock.next_due()) is None:
                return
            self._clock.advance(wait)
            await asyncio.sleep(0)
        raise RuntimeError("the controllers do not come to rest")

    @contextlib.contextmanager
    def suspended(self) -> Iterator[None]:
        """Write objects while no controller looks at them."""
        before, self._is_suspended = self._is_suspended, True
        try:
            yield
        finally:
            self._is_suspended = before

    def stop(self) -> None:
        """virt-controller and virt-handler are down: objects change, and nothing comes of it."""
        self.machines.queue.stop()
        self.migrations.queue.stop()

    def start(self) -> None:
        """They are up again, and see what has changed."""
        self.machines.queue.start()
        self.migrations.queue.start()

    def _consider(self, event: Event) -> None:
        if self._is_suspended:
            return
        place = event.record.namespace, event.record.name
        if event.resource is VIRTUALMACHINES:
            self.machines.queue.add(place)
        elif event.resource is VIRTUALMACHINEINSTANCES:
            self.machines.queue.add(place)
            self.migrations.vmi_changed(place)
        elif event.resource is MIGRATIONS:
            self.migrations.queue.add(place)
        elif event.resource is NODES:
            self.machines.nodes_changed()
            self.migrations.reconsider()


def _report(clock: asyncio.Task[None]) -> None:
    """Report a failure at once: nobody awaits the clock before the cluster closes."""
    if not clock.cancelled() and (error := clock.exception()):
        clock.get_loop().call_exception_handler({"message": f"{clock.get_name()} stopped", "exception": error})
