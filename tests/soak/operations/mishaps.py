"""The acts of chaos on what operations need: requests and answers that are lost, virt-api, migrations."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from soak.world import Site

from summit_models.operation import Action
from summit_simulator.api.mishaps import Mishap, Mishaps

Spoil = Callable[[Mishaps, Action], Mishap]

SPOILS: Mapping[str, Spoil] = {
    "answers of acts are lost": lambda acts, action: acts.lose_answer(action),
    "acts are lost": lambda acts, action: acts.lose_request(action),
    "acts time out": lambda acts, action: acts.time_out(action),
    "acts are slow": lambda acts, action: acts.slow(action, 2.5),
    "answers of acts are held back": lambda acts, action: acts.hold(action),
    "a webhook refuses acts": lambda acts, action: acts.refuse(action, 422, "not today", webhook="policy.example.com"),
}


async def spoil(how: Spoil, site: Site, seconds: float) -> None:
    """Spoil every request that acts on a VM, but for dry runs."""
    with ExitStack() as stack:
        for action in Action:
            stack.enter_context(_spoilt(how, site.cluster.faults.acts, action))
        await asyncio.sleep(seconds)


@contextmanager
def _spoilt(how: Spoil, acts: Mishaps, action: Action) -> Iterator[None]:
    mishap = how(acts, action)
    yield
    acts.end(mishap)


async def without_virt_api(site: Site, seconds: float) -> None:
    site.cluster.faults.virt_api_down = True
    await asyncio.sleep(seconds)
    site.cluster.faults.virt_api_down = False


async def without_controllers(site: Site, seconds: float) -> None:
    """What is asked for is accepted, and nothing comes of it."""
    site.cluster.stop_controllers()
    await asyncio.sleep(seconds)
    site.cluster.start_controllers()


async def stall_migrations(site: Site, seconds: float) -> None:
    site.cluster.faults.disturb_migrations(is_stalled=True)
    await asyncio.sleep(seconds)
    site.cluster.faults.disturb_migrations()


async def fail_migrations(site: Site, seconds: float) -> None:
    site.cluster.faults.disturb_migrations(failure="the guest writes faster than it can be copied")
    await asyncio.sleep(seconds)
    site.cluster.faults.disturb_migrations()
