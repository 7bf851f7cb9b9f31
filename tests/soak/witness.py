"""Watch the API all the time, as a person with a browser would, and compare it with the state at that moment."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx2
from soak.part import Size
from soak.report import show
from soak.world import World

LOOK_SECONDS = 1.0
PROGRESS_SECONDS = 30.0


@dataclass
class Witness:
    """Looks once a second. A VM that was shown, exists all the time and is shown no more was falsely deleted."""

    world: World
    looks: int = 0
    failures: int = 0
    """Looks that got no answer, as while the api or Postgres is away."""
    false_deletes: list[str] = field(default_factory=list)
    shown: set[str] = field(default_factory=set)

    async def watch(self) -> None:
        """Look for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._show_progress())
            while True:
                await self.look()
                await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        try:
            vms = await self.world.vms()
        except httpx2.HTTPError:
            self.failures += 1
            return
        self.looks += 1
        listed = {vm["id"] for vm in vms}
        # Kubernetes gives no uid twice: what exists after the answer has existed since it was first shown.
        existing = set[str]().union(*(site.living() for site in self.world.sites))
        for uid in (self.shown - listed) & existing:
            self.false_deletes.append(f"{uid} was not listed in look {self.looks}, though it exists")
        self.shown |= listed

    async def _show_progress(self) -> None:
        while True:
            await asyncio.sleep(PROGRESS_SECONDS)
            existing = sum(len(site.living()) for site in self.world.sites)
            unready = await self.world.unready()
            state = f"not ready: {'; '.join(unready)}" if unready else "all ready"
            memory = ", ".join(f"{name} {size.resident_bytes / 1e6:.0f} MB" for name, size in sizes(self.world).items())
            show(f"-- {existing} VMs; {self.looks} looks at the API, {self.failures} without answer; {memory}; {state}")


def sizes(world: World) -> Mapping[str, Size]:
    """The size of each process that runs."""
    return {name: size for name, part in world.parts.items() if (size := part.size())}
