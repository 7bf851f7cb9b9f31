"""The fleets' life while chaos goes on: what people and controllers do, and what is hard to follow.

`Life` starts, stops, migrates, pauses and so on. Here is added what a watcher must not mistake: a name that returns
with another uid, an object that lives for a moment only, many changes of one object in one burst.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable

from soak.world import Site

from summit_simulator.fleet.life import Life
from summit_simulator.objects.manifest import Manifest, key
from summit_simulator.objects.resources import VIRTUALMACHINES
from summit_simulator.objects.status import StatusError

EVENTS_PER_MINUTE = 120.0
"""Events of Life in each cluster; the controllers add their own changes to each."""
TRICKS_A_SECOND = 0.7
GONE_SECONDS = 20.0
"""The time for a VM to be gone; one that is still there then is not created again."""
NAMESPACE = "soak"


class Population:
    """The life of one cluster, reproducible but for what time does to it."""

    def __init__(self, site: Site, seed: int) -> None:
        self._cluster = site.cluster
        self._life = Life(site.cluster, seed=seed)
        self._random = random.Random(f"population/{seed}/{site.name}")  # noqa: S311  reproducible, not secret
        self._seed = seed
        self._born = 0
        self._tricks: tuple[Callable[[], None], ...] = (
            self._blink,
            self._burst,
            self._recreate,
            self._create,
            self._delete,
            self._resize,
            self._create_alone,
        )

    async def run(self) -> None:
        """Live for ever."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            tasks.create_task(self._life.run(events_per_minute=EVENTS_PER_MINUTE))
            while True:
                await asyncio.sleep(self._random.expovariate(TRICKS_A_SECOND))
                with contextlib.suppress(StatusError):  # a name is taken, or a VM is on its way out already
                    self._random.choice(self._tricks)()

    def _blink(self) -> None:
        """Created and deleted before anybody could look; then the name returns and stays."""
        name = self._new_name()
        for _ in range(self._random.randrange(1, 4)):
            self._cluster.delete("virtualmachines", self._cluster.create_vm(name, namespace=NAMESPACE))
        if self._random.random() < 0.5:
            self._again(self._cluster.create_vm(f"{name}-x", namespace=NAMESPACE))

    def _burst(self) -> None:
        """Many changes of one object that arrive as one."""
        if vm := self._any():
            for number in range(self._random.randrange(2, 30)):
                self._cluster.patch("virtualmachines", vm, {"metadata": {"labels": {"burst": str(number)}}})

    def _recreate(self) -> None:
        if vm := self._any():
            self._cluster.delete("virtualmachines", vm)
            self._again(vm)

    def _again(self, vm: Manifest) -> None:
        self._tasks.create_task(self._when_gone(vm))

    async def _when_gone(self, vm: Manifest) -> None:
        """Make a VM of the same name the moment the other is gone."""
        namespace, name = key(vm)
        with contextlib.suppress(TimeoutError, StatusError):
            async with asyncio.timeout(GONE_SECONDS):
                while self._cluster.vm(vm):  # noqa: ASYNC110  the store has no event for that
                    await asyncio.sleep(0.01)
            self._cluster.create_vm(name, namespace=namespace, run_strategy=self._random.choice(("Always", "Halted")))

    def _create(self) -> None:
        strategy = self._random.choice(("Always", "Halted", "RerunOnFailure"))
        self._cluster.create_vm(self._new_name(), namespace=NAMESPACE, run_strategy=strategy)

    def _delete(self) -> None:
        if vm := self._any():
            self._cluster.delete("virtualmachines", vm)

    def _resize(self) -> None:
        if vm := self._any():
            cpu = {"cores": self._random.randrange(1, 9), "sockets": 1, "threads": 1}
            size = {"spec": {"template": {"spec": {"domain": {"cpu": cpu}}}}}
            self._cluster.patch("virtualmachines", vm, size)

    def _create_alone(self) -> None:
        """An instance without a VM: one of the seeded ones goes away."""
        for vmi in self._cluster.truth("virtualmachineinstances")["virtualmachineinstances"].values():
            if not vmi["metadata"].get("ownerReferences"):
                self._cluster.delete("virtualmachineinstances", vmi)
                return

    def _any(self) -> Manifest | None:
        records = self._cluster.store.records(VIRTUALMACHINES)
        return self._random.choice(records).manifest() if records else None

    def _new_name(self) -> str:
        self._born += 1
        return f"soak-{self._seed}-{self._born}"
