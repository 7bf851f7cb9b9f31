"""A few clients have a place at a time, and one that wants many waits for itself."""

import asyncio
import gc

from summit_api.limits.turns import Turns


class Holding:
    """Clients that hold the places they get until `done` is set."""

    def __init__(self, places: int) -> None:
        self.turns = Turns(places)
        self.done = asyncio.Event()
        self.holders: list[str] = []

    async def hold(self, client: str) -> None:
        async with self.turns.take(client):
            self.holders.append(client)
            await self.done.wait()


async def test_a_client_that_wants_every_place_gets_one() -> None:
    """A hundred feeds of one client that continued from long ago kept those of all others waiting."""
    holding = Holding(places=2)
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        for client in ("greedy", "greedy", "greedy", "other", "third"):
            tasks.create_task(holding.hold(client))
        await asyncio.sleep(0)
        assert holding.holders == ["greedy", "other"]
        holding.done.set()
    assert sorted(holding.holders) == ["greedy", "greedy", "greedy", "other", "third"]


async def test_clients_that_are_gone_are_forgotten() -> None:
    """Each has another name, and the process runs for months."""
    holding = Holding(places=1)
    holding.done.set()
    await holding.hold("gone")
    gc.collect()
    assert not holding.turns._clients
