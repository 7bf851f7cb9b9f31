"""A client of the live feed that comes back after each break where it was, as a browser does.

Afterwards it must have received each event of a VM since it began, once and in order. Only a `reset` may come in
between, after which it lists again.
"""

import asyncio
import json
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import httpx2
from httpx2 import EventSource
from soak.world import World
from support.oracle import Json

SILENCE_SECONDS = 40.0
"""Without a heartbeat, which comes every 15 s, for so long: the connection is dead."""
PAUSE_SECONDS = 0.5
ONE_PAGE = "500"
MAX_MESSAGE_BYTES = 1_000_000


@dataclass
class Stretch:
    """The messages from one list to the next."""

    begins_after: int
    revisions: list[int] = field(default_factory=list)


@dataclass
class Follower:
    """`vms` are the VMs as a page would show them: listed once, then changed by the feed."""

    world: World
    vms: dict[str, int] = field(default_factory=dict)
    """Revision by uid."""
    stretches: list[Stretch] = field(default_factory=list)
    connections: int = 0
    resets: list[str] = field(default_factory=list)
    """Their reasons."""
    last_id: str = ""
    """Everything up to this position has been received."""
    _is_lost: bool = True
    """Nothing can be continued: a list is needed."""

    async def follow(self) -> None:
        """Follow for ever."""
        while True:
            with suppress(httpx2.HTTPError):
                if self._is_lost:
                    await self._list()
                await self._listen()
            await asyncio.sleep(PAUSE_SECONDS)

    async def _list(self) -> None:
        page = await self.world.get("/api/v1/vms", limit=ONE_PAGE)
        items = page["items"] + ([] if page["next"] is None else await self.world.vms())
        self.vms = {vm["id"]: vm["revision"] for vm in items}
        self.stretches.append(Stretch(page["revision"]))
        self.last_id, self._is_lost = page["position"], False

    async def _listen(self) -> None:
        headers = {"Last-Event-ID": self.last_id}
        async with self.world.http.stream(
            "GET", "/api/v1/events", params={"types": "vm"}, headers=headers, timeout=SILENCE_SECONDS
        ) as response:
            response.raise_for_status()
            self.connections += 1
            async for event in EventSource(response, max_event_size=MAX_MESSAGE_BYTES):
                if event.event == "message":
                    self._take(json.loads(event.data), event.id)
                if self._is_lost:
                    return
                if event.id:
                    self.last_id = event.id

    def _take(self, message: Json, event_id: str) -> None:
        kind, payload = message["type"], message["payload"]
        match kind:
            case "vm:added" | "vm:updated":
                self._receive(_revision(event_id))
                self.vms[payload["vm"]["id"]] = _revision(event_id)
            case "vm:removed":
                self._receive(_revision(event_id))
                self.vms.pop(payload["vmId"], None)
            case "reset":
                self.resets.append(payload["reason"])
                self._is_lost = True

    @property
    def revision(self) -> int:
        """Everything up to it has been received."""
        return _revision(self.last_id)

    def _receive(self, revision: int) -> None:
        self.stretches[-1].revisions.append(revision)

    def complaints(self, happened: Collection[int], shown: dict[str, range]) -> Iterator[str]:
        """The mistakes in the received messages, given the revisions of all VM events and the last lists."""
        for stretch in self.stretches:
            is_last = stretch is self.stretches[-1]
            until = max(happened, default=0) if is_last else max(stretch.revisions, default=0)
            wanted = sorted(revision for revision in happened if stretch.begins_after < revision <= until)
            if stretch.revisions != wanted:
                yield f"after revision {stretch.begins_after}: {_difference(stretch.revisions, wanted)}"
        wrong = sorted(
            uid for uid in self.vms.keys() | shown.keys() if uid not in shown or self.vms.get(uid) not in shown[uid]
        )
        if wrong:
            yield f"the follower has other VMs than the list: {wrong[:5]}, {len(wrong)} in all"


def _revision(event_id: str) -> int:
    return int(event_id.partition("-")[0] or 0)


def _difference(received: list[int], wanted: list[int]) -> str:
    missing, unknown = sorted(set(wanted) - set(received)), sorted(set(received) - set(wanted))
    twice = len(received) - len(set(received))
    if not missing and not unknown and not twice:
        return "not in order"
    return (
        f"{len(missing)} missing {missing[:9]}, {len(unknown)} unknown {unknown[:9]}, {twice} twice, of {len(wanted)}"
    )
