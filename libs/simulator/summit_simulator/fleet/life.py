"""A life of its own: VMs that are started, stopped, moved, created, lost, at a rate, reproducibly."""

import asyncio
import contextlib
import random
from collections.abc import Callable

from summit_simulator.cluster import SimulatedCluster
from summit_simulator.objects.guests import GUESTS
from summit_simulator.objects.instancetypes import U1_SERIES
from summit_simulator.objects.manifest import Manifest, metadata
from summit_simulator.objects.resources import VIRTUALMACHINES
from summit_simulator.objects.status import StatusError

# How often each event happens, relative to the others.
EVENTS = {"migrate": 30, "start": 18, "stop": 18, "restart": 8, "pause": 5, "unpause": 6, "relabel": 6}
EVENTS |= {"create": 4, "delete": 4, "crash": 3}

# Tries to find a VM in a state that suits the event; a fleet without any just has a quiet minute.
TRIES = 30


class Life:
    def __init__(self, cluster: SimulatedCluster, *, seed: int = 0) -> None:
        self._cluster = cluster
        self._random = random.Random(f"life/{seed}/{cluster.name}")  # noqa: S311 - reproducible, not secret
        self._born = 0

    def wake(self) -> None:
        """Let the controllers look at every VM once, so that what a seeded fleet left half done goes on."""
        for record in self._cluster.store.records(VIRTUALMACHINES):
            self._cluster.controllers.machines.queue.add((record.namespace, record.name))

    def step(self) -> str | None:
        """Let one event happen; returns which, None if no VM was in a state for it."""
        event = self._random.choices(tuple(EVENTS), tuple(EVENTS.values()))[0]
        if event == "create":
            self._create()
            return event
        vm = self._find(_SUITS[event])
        if vm is None:
            return None
        with contextlib.suppress(StatusError):  # somebody else was faster: an administrator with kubectl
            self._happen(event, vm)
            return event
        return None

    async def run(self, *, events_per_minute: float) -> None:
        """Let events happen for ever, at random times of that average rate."""
        self.wake()
        while True:
            await asyncio.sleep(self._random.expovariate(events_per_minute / 60))
            self.step()

    def _happen(self, event: str, vm: Manifest) -> None:
        match event:
            case "delete":
                self._cluster.delete("virtualmachines", vm)
            case "crash":
                self._cluster.crash(vm)
            case "relabel":
                release = f"r{self._random.randrange(100)}"
                change = {"metadata": {"labels": {"release": release}}}
                self._cluster.patch("virtualmachines", vm, change)
            case _:
                self._cluster.request(event, vm)

    def _create(self) -> None:
        self._born += 1
        self._cluster.create_vm(
            f"job-{self._random.randrange(16**4):04x}-{self._born}",
            namespace=self._random.choice(("ci", "dev-platform", "staging-media")),
            instancetype=self._random.choice(tuple(U1_SERIES)),
            run_strategy="Always",
            labels={"app": "job", "tier": "worker", "environment": "dev"},
            disks=("20Gi",),
            os=self._random.choice(tuple(GUESTS)),
        )

    def _find(self, suits: Callable[[str, Manifest], bool]) -> Manifest | None:
        records = self._cluster.store.records(VIRTUALMACHINES)
        for _ in range(TRIES if records else 0):
            vm = self._random.choice(records).manifest()
            if suits(str((vm.get("status") or {}).get("printableStatus")), vm):
                vmi = self._cluster.vmi(vm)
                if vmi is None or not metadata(vmi).get("deletionTimestamp"):
                    return vm
        return None


def _is(*wanted: str) -> Callable[[str, Manifest], bool]:
    return lambda status, _vm: status in wanted


_SUITS: dict[str, Callable[[str, Manifest], bool]] = {
    "migrate": _is("Running"),
    "start": _is("Stopped"),
    "stop": _is("Running", "Paused"),
    "restart": _is("Running"),
    "pause": _is("Running"),
    "unpause": _is("Paused"),
    "relabel": lambda status, _vm: status != "Terminating",
    # Only what life itself brought: the seeded fleet stays about as large as it was.
    "delete": lambda status, vm: status != "Terminating" and metadata(vm)["labels"].get("app") == "job",
    "crash": _is("Running"),
}
