"""A client of a NATS server whose stream exists."""

from collections.abc import AsyncIterator

import pytest
from support.projecting import publisher

from summit_runtime.nats.connection.bus import EventClient


@pytest.fixture
async def client(nats_url: str) -> AsyncIterator[EventClient]:
    async with publisher(nats_url) as client:
        yield client
