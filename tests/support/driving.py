"""What drives operations on many VMs in one api."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from summit_api.services import Services
from summit_runtime.nats.connection.bus import EventClient
from summit_runtime.waiting import end


@asynccontextmanager
async def driving(services: Services, client: EventClient) -> AsyncIterator[None]:
    """Run the feed, which reads the journal, and the driver, which it wakes."""
    tasks = [asyncio.create_task(services.feed.follow()), asyncio.create_task(services.driver.drive(client.clock))]
    try:
        yield
    finally:
        for task in tasks:
            await end(task)
            if not task.cancelled():
                task.result()
