"""Several apis behind the proxy: what one has begun, another goes on with, and a feed is not held back on its way."""

import asyncio
import time
from typing import Any

from compose.acts import PROBED
from compose.project import docker
from compose.stack import Stack
from support.feeding import listening

TICKETS = 12
"""If the apis had a key each, one of 4000 runs would not notice."""
EDITS = 5
LOOKS, LOOK_SECONDS = 50, 0.1


async def refused_tickets(stack: Stack) -> list[str]:
    """A ticket of one api opens the feed of another; what was refused."""
    refused = []
    for _ in range(TICKETS):
        ticket = (await stack.http.post("/api/v1/tickets")).raise_for_status().json()["ticket"]
        request = stack.http.build_request("GET", "/api/v1/events", params={"ticket": ticket})
        del request.headers["Authorization"]
        answer = await stack.http.send(request, stream=True)
        await answer.aclose()
        if answer.status_code != 200:
            refused.append(f"a ticket was answered {answer.status_code}")
    return refused


async def feed_seconds(stack: Stack) -> float:
    """The longest time from the request for an edit to its message in a feed."""
    longest = 0.0
    async with listening(stack.http) as listener:
        await listener.joined()
        for memory in range(1024, 1024 + EDITS):
            begin = time.monotonic()
            path = f"/api/v1/admin/datacenters/dc-solna/vms/{PROBED}"
            (await stack.http.patch(path, json={"memory": memory})).raise_for_status()
            await listener.until(lambda memory=memory: memory in _sizes(listener.payloads("vm:updated")))
            longest = max(longest, time.monotonic() - begin)
    return longest


def _sizes(payloads: list[dict[str, Any]]) -> list[int]:
    return [payload["vm"]["memory"] for payload in payloads if payload["vm"]["id"] == PROBED]


async def unanswered_without_one(stack: Stack) -> list[str]:
    """Kill an api; the requests that were not answered then."""
    await docker("kill", (await stack.project.containers("api"))[0])
    unanswered = []
    for number in range(LOOKS):
        answer = await stack.http.get("/api/v1/status")
        if answer.status_code != 200:
            unanswered.append(f"request {number} was answered {answer.status_code}")
        await asyncio.sleep(LOOK_SECONDS)
    return unanswered
