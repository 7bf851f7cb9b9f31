"""What is done to the stack, and how long it takes until it has recovered, in seconds."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

from compose.project import docker
from compose.stack import Stack
from support.waiting import until

PAUSE_SECONDS = 60.0
SCALE = {"watcher-demo": 3, "projector": 2, "api": 2}
"""How many containers of each service; for one that is not named, `docker compose up` goes back to one."""
HOST_NAME = slice(12)
"""Of a container's id: docker gives a container this part of it as its host name."""
PROBED = "by-hand-3"
"""A VM that is edited to see whether an edit arrives in the log, in the tables and in the API."""


async def timed(work: Awaitable[object]) -> float:
    """The time that something takes."""
    begin = time.monotonic()
    await work
    return time.monotonic() - begin


async def owned(stack: Stack, *, without: str) -> bool:
    """Whether each cluster is watched, by a watcher in another container than the one with this host name."""
    clusters = (await stack.owners()).values()
    return all(
        one["state"] == "synced" and one["watchedSince"] and not str(one["watcher"]).startswith(without)
        for one in clusters
    )


async def scaled(stack: Stack) -> float:
    """Run the containers that are wanted, those which an act has ended as well; the time until all are healthy."""
    begin = time.monotonic()
    counts = [part for service, count in SCALE.items() for part in ("--scale", f"{service}={count}")]
    await stack.project.compose("up", "--detach", "--wait", "--no-recreate", *counts)
    return time.monotonic() - begin


async def shared(stack: Stack) -> float:
    """The time until all watchers have as many clusters each as make even shares."""
    begin = time.monotonic()
    clusters, watchers = len(stack.clusters), SCALE["watcher-demo"]
    even = sorted(clusters // watchers + (n < clusters % watchers) for n in range(watchers))

    async def shares() -> list[int]:
        members = (await stack.get("/api/v1/watchers"))["items"]
        return sorted(len(member["clusters"]) for member in members if member["clusters"])

    await until(shares, lambda found: found == even)
    return time.monotonic() - begin


async def busiest_watcher(stack: Stack) -> str:
    """The container of the watcher with the most clusters."""
    members = (await stack.get("/api/v1/watchers"))["items"]
    host = max(members, key=lambda member: len(member["clusters"]))["id"].partition("/")[0]
    return next(one for one in await stack.project.containers("watcher-demo") if one.startswith(host))


async def active_projector(stack: Stack) -> str:
    """The container of the projector that applies events."""
    for container in await stack.project.containers("projector"):
        if "summit_projector_active 1.0" in (await stack.probe(container, "/metrics")).text:
            return container
    raise AssertionError("no projector says that it is active")


async def lost_watcher(stack: Stack, container: str, *command: str) -> float:
    """Do this to the container of a watcher; the time until others watch all clusters."""
    begin = time.monotonic()
    await docker(*command, container)
    await until(lambda: owned(stack, without=container[HOST_NAME]))
    return time.monotonic() - begin


async def lost_projector(stack: Stack, container: str, *command: str) -> float:
    """Do this to the container of a projector; the time until an edit is applied again."""
    begin = time.monotonic()
    await docker(*command, container)
    await edited(stack)
    return time.monotonic() - begin


async def restarted(stack: Stack, service: str) -> float:
    """Restart NATS or Postgres; the time until an edit is applied again."""
    begin = time.monotonic()
    await stack.project.compose("restart", service)
    await edited(stack)
    return time.monotonic() - begin


async def edited(stack: Stack) -> None:
    """Wait until an edit has come into the log, out of it into the tables, and from there to the API."""
    cpu = int(time.time()) % 1000 + 1

    async def edit() -> int:
        path = f"/api/v1/admin/datacenters/dc-solna/vms/{PROBED}"
        return (await stack.http.patch(path, json={"cpu": cpu})).status_code

    await until(edit, lambda code: code == 200)


@asynccontextmanager
async def going_on_later(container: str) -> AsyncIterator[None]:
    """The container that is paused in the block goes on after `PAUSE_SECONDS`."""
    begin = time.monotonic()
    try:
        yield
        await asyncio.sleep(max(begin + PAUSE_SECONDS - time.monotonic(), 0))
    finally:
        await docker("unpause", container)


async def starts(stack: Stack, service: str, port: int) -> float:
    """Restart one container of a service; the time from its start until it is ready."""
    container = (await stack.project.containers(service))[0]
    await docker("stop", container)
    begin = time.monotonic()
    await docker("start", container)
    await until(lambda: _ready(stack, container, port))
    return time.monotonic() - begin


async def _ready(stack: Stack, container: str, port: int) -> bool:
    return (await stack.probe(container, "/readyz", port)).status_code == 200
