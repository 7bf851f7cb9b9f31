"""This watcher's share of the clusters: it takes what the plan gives it, renews that, and hands over the rest.

A lease decides who watches a cluster, and only that: whose events and operations count, the epoch in the log decides.
So two watchers that both watch a cluster, for the moment in which one of them was suspended or cut off, do no harm.
Nobody stops watching because NATS is away: only the lease of another watcher ends a watch.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from summit_models.watcher import Member, Place
from summit_runtime.condition import Condition
from summit_runtime.nats.leases import LeaseTable
from summit_runtime.waiting import wait
from summit_watcher import metrics
from summit_watcher.leases.holding import Holding
from summit_watcher.leases.plan import Plan, plan
from summit_watcher.settings import WatcherTimes

logger = logging.getLogger("summit.watcher")

_LOST = (
    "cluster %s: watcher %s has its lease now, and this watcher (%s) ends its own watch. It was suspended or cut off "
    "from NATS for more than %d s"
)
_UNRENEWED = (
    "NATS does not store leases, or not in time: this watcher goes on with its clusters, and nobody takes new ones or "
    "those of a watcher that ends"
)


class Clusters(Protocol):
    """What watches clusters, as far as a share needs it."""

    @property
    def declared(self) -> AbstractSet[Place]:
        """The clusters that this watcher may have."""

    def begin(self, place: Place, has_lease: Callable[[], Awaitable[bool]]) -> None:
        """Watch a cluster; `has_lease` asks NATS whether its lease is still ours."""

    async def end(self, place: Place, *, retires: bool) -> None:
        """End the watch of a cluster, and retire it if that is wanted, and it is not declared any more."""


@dataclass(eq=False)
class Share:
    clusters: Clusters
    holding: Holding
    table: LeaseTable
    me: Member
    tasks: asyncio.TaskGroup
    """For hand-overs, beside which the renewals go on."""
    times: WatcherTimes

    def __post_init__(self) -> None:
        self.is_taken = False
        """What was free of this share at the start is taken."""
        self._watched: set[Place] = set()
        """Of the clusters whose leases it has, those that it does not hand over."""
        self._ending: dict[Place, asyncio.Task[None]] = {}
        self._is_leaving = False
        self._waiting: AbstractSet[Place] = frozenset()
        self._watchers: Sequence[str] = [self.me.watcher]
        self._unstored = Condition(logger)

    async def run(self) -> None:
        """Renew, take and hand over, for ever."""
        while True:
            renew_at = time.monotonic() + self.times.lease_renew_seconds
            await self._renew()
            while True:
                changed = self.table.changed
                if self.holding.announced != self._may:
                    await self.holding.announce(self._may)
                await self._balance()
                rest_seconds = renew_at - time.monotonic()
                if rest_seconds <= 0 or not await wait(changed, rest_seconds):
                    break

    async def leave(self) -> None:
        """Hand all clusters over, side by side, so that the other watchers take them at once."""
        self._is_leaving = True
        self.table.notify()
        for place in list(self._watched):
            self._hand_over(place)
        await asyncio.gather(*self._ending.values())
        await self.holding.withdraw()

    async def has_lease(self, place: Place) -> bool:
        """Whether the lease of a cluster is still ours, asked of NATS now. Waits while NATS is away."""
        while True:
            if (is_ours := await self.holding.confirm(place)) is not None:
                return is_ours
            await asyncio.sleep(self.times.lease_renew_seconds)

    @property
    def _may(self) -> AbstractSet[Place]:
        """What this watcher may have: what is declared; after a break only what it has of that."""
        declared = self.clusters.declared
        return declared if self.holding.contact.is_whole else declared & self._watched

    async def _renew(self) -> None:
        for place, owner in await self.holding.renew():
            context = {"cluster": place.cluster, "datacenter": place.datacenter}
            logger.warning(_LOST, place.cluster, owner, self.me.watcher, self.times.lease_seconds, extra=context)
            metrics.LEASES_LOST.inc()
            if place in self._watched:
                self._hand_over(place)
        await self.holding.announce(self._may)
        if self.holding.is_refused:
            self._unstored.holds(_UNRENEWED, cause="renewal")
        metrics.set_leases(len(self._watched), len(self._watchers))

    # Taking

    async def _balance(self) -> None:
        """Take what is free and ours by the plan, and hand over what is not."""
        if not self.table.is_read:
            return
        members = self.table.members()
        planned = plan(self.me.run, self._may, self._watched, members, self.table.leases())
        self._note(planned, [self.me.watcher, *(m.watcher for m in members if m.run != self.me.run)])
        for place in planned.hand_over:
            self._hand_over(place)
        if self.holding.contact.is_whole:
            free = [place for place in planned.take if place not in self.holding and place not in self._ending]
            self._note_answers(await asyncio.gather(*map(self._take, free)))

    async def _take(self, place: Place) -> bool | None:
        if is_taken := await self.holding.take(place):
            self._watched.add(place)
            self.clusters.begin(place, partial(self.has_lease, place))
        return is_taken

    def _note(self, planned: Plan, watchers: Sequence[str]) -> None:
        """Log what is new: who shares the clusters, unless some are only cut off, and what goes to whom."""
        if self.holding.contact.is_whole and sorted(watchers) != self._watchers:
            self._watchers = sorted(watchers)
            logger.info("watchers that share the clusters: %s", ", ".join(self._watchers))
        if foreign := [place.cluster for place in planned.hand_over if place in self.clusters.declared]:
            logger.info("handed over to other watchers, for an even share: %s", ", ".join(foreign))
        for place in planned.waiting.keys() - self._waiting:
            message = "cluster %s of datacenter %s waits: watcher %s still has it in another datacenter"
            logger.info(message, place.cluster, place.datacenter, planned.waiting[place])
        self._waiting = planned.waiting.keys()

    def _note_answers(self, answers: Sequence[bool | None]) -> None:
        """Log for how many free clusters NATS has not answered: nobody watches them until it does."""
        if unanswered := answers.count(None):
            self._unstored.holds("NATS does not store leases of clusters (%d), so nobody watches them yet", unanswered)
        else:
            self._unstored.ends("NATS stores leases")
            self.is_taken = True

    # Handing over

    def _hand_over(self, place: Place) -> None:
        """End the watch of a cluster, and then leave its lease to others at once, if it is still ours."""
        self._watched.remove(place)
        self._ending[place] = self.tasks.create_task(self._end(place), name=f"end of cluster {place.cluster}")

    async def _end(self, place: Place) -> None:
        await self.clusters.end(place, retires=await self._is_to_retire(place))
        if self._is_leaving:  # else a cluster that is free would be ours again. Not before: its last events come first
            await self.holding.withdraw()
        await self.holding.leave(place)
        del self._ending[place]
        self.table.notify()

    async def _is_to_retire(self, place: Place) -> bool:
        """Whether no file declares the cluster any more: wait until the other watchers have read the same edit.

        While NATS is away nobody knows who they are.
        """
        give_up_at = time.monotonic() + self.times.undeclared_seconds
        while not self._is_leaving and place in self.holding and place not in self.clusters.declared:
            changed = self.table.changed
            if self.holding.contact.is_whole:
                if any(str(place) in m.declared for m in self.table.members() if m.run != self.me.run):
                    if time.monotonic() >= give_up_at:
                        return False
                elif (is_ours := await self.holding.confirm(place)) is not None:
                    return is_ours
            await wait(changed, self.times.lease_renew_seconds)
        return False
