"""The leases that this watcher has, and what it announces of itself: taken, renewed and left, one entry for each."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from typing import NamedTuple

from summit_models.watcher import Lease, Member, Place
from summit_runtime.nats.connection.bus import EventClient
from summit_runtime.nats.publishing.append import NotStoredError
from summit_runtime.nats.streams.leases import lease_subject, member_subject
from summit_watcher.leases.contact import Contact
from summit_watcher.leases.entry import Entry
from summit_watcher.leases.spread import Able
from summit_watcher.settings import WatcherTimes


class Announcement(NamedTuple):
    """What a watcher may have, and what its file has lost and is neither retired yet nor with another watcher."""

    able: Able
    leaving: AbstractSet[Place]


class Holding:
    def __init__(self, client: EventClient, me: Member, times: WatcherTimes) -> None:
        self.contact = Contact(times.lease_seconds, times.lease_grace_seconds)
        self.announced = Announcement(Able(frozenset()), frozenset())
        """What the others know of this watcher."""
        self._client, self._me, self._times = client, me, times
        self._member = Entry(client, member_subject(me), me, times)
        self._leases: dict[Place, Entry] = {}

    def __contains__(self, place: Place) -> bool:
        return place in self._leases

    @property
    def is_refused(self) -> bool:
        """Whether NATS is there, and has stored no renewal for the length of a lease."""
        return self.contact.is_broken and self._client.is_connected

    async def announce(self, announcement: Announcement) -> None:
        """Announce, or renew, that this watcher runs and what it has to do with clusters."""
        self.announced = announcement
        able, leaving = announcement
        places = {"declared": able.may, "unreadable": able.unreadable, "leaving": leaving}
        texts = {name: sorted(map(str, found)) for name, found in places.items()}
        self._member.holder = self._me.model_copy(update=texts)
        if await _answer(self._member.renew):
            self.contact.renewed()

    async def renew(self) -> Sequence[tuple[Place, str]]:
        """Renew all leases, and return those that are lost, with the watcher that has each.

        One without an answer stays ours: only the lease of another watcher ends a watch.
        """
        leases = dict(self._leases)
        answers = await asyncio.gather(*(_answer(entry.renew) for entry in leases.values()))
        lost = [place for place, is_ours in zip(leases, answers, strict=True) if is_ours is False]
        return [(place, leases[place].owner) for place in lost if self._leases.pop(place, None)]

    async def take(self, place: Place) -> bool | None:
        """Take a lease, if it is free; None: NATS has not answered. If it has stored it, the next attempt finds it."""
        lease = Lease(watcher=self._me.watcher, run=self._me.run, since=self._client.clock.now())
        entry = Entry(self._client, lease_subject(place), lease, self._times)
        if is_taken := await _answer(entry.take):
            self._leases[place] = entry
        return is_taken

    async def confirm(self, place: Place) -> bool | None:
        """Whether a lease is still ours, asked of NATS now; None: NATS has not answered."""
        entry = self._leases.get(place)
        return False if entry is None else await _answer(entry.renew)

    async def leave(self, place: Place) -> None:
        """Leave a lease to others at once, if it is still ours."""
        if entry := self._leases.pop(place, None):
            await entry.delete()

    async def withdraw(self) -> None:
        """Announce that this watcher ends, so that no other one leaves a cluster for it."""
        await self._member.delete()

    @asynccontextmanager
    async def alone(self, place: Place) -> AsyncIterator[bool]:
        """Have the lease of a cluster for the length of the block; False where another watcher has it, or we do."""
        is_ours = place not in self and bool(await self.take(place))
        try:
            yield is_ours
        finally:
            if is_ours:
                await self.leave(place)


async def _answer(ask: Callable[[], Awaitable[bool]]) -> bool | None:
    """What NATS answers; None: nothing."""
    try:
        return await ask()
    except NotStoredError:
        return None
