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
from summit_runtime.nats.streams.leases import LeaseTable
from summit_runtime.waiting import wait
from summit_watcher import metrics
from summit_watcher.leases.holding import Announcement, Holding
from summit_watcher.leases.plan import Plan, plan
from summit_watcher.leases.spread import Able
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
_LEFT = "cluster %s: the file of this watcher does not declare it any more, and that of another one does: it goes there"


class Clusters(Protocol):
    """What watches clusters, as far as a share needs it."""

    @property
    def declared(self) -> AbstractSet[Place]:
        """The clusters that this watcher may have."""

    @property
    def unreadable(self) -> AbstractSet[Place]:
        """Those of them whose kubeconfig cannot be read here."""

    @property
    def beginning(self) -> int:
        """How many clusters were begun a moment ago, and have neither answered nor failed to."""

    def begin(self, place: Place, has_lease: Callable[[], Awaitable[bool]]) -> None:
        """Watch a cluster; `has_lease` asks NATS whether its lease is still ours."""

    async def end(self, place: Place) -> None:
        """End the watch of a cluster."""

    async def retire(self, place: Place) -> None:
        """Retire a cluster in the log, unless it is declared again or retired already."""

    def forget(self, place: Place) -> None:
        """Note that a cluster is retired, or that another watcher has it."""


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
        self._is_more_free = False
        """Clusters are free and ours whose turn it is not yet."""
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
                if self.holding.announced != self._announcement:
                    await self.holding.announce(self._announcement)
                await self._balance()
                rest_seconds = renew_at - time.monotonic()
                if rest_seconds <= 0:
                    break
                look_seconds = self.times.begun_look_seconds if self._is_more_free else rest_seconds
                await wait(changed, min(look_seconds, rest_seconds))

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
    def _able(self) -> Able:
        """What this watcher may have: what is declared; after a break only what it has of that."""
        declared = set(self.clusters.declared)
        may = declared if self.holding.contact.is_whole else declared & self._watched
        return Able(may, may & self.clusters.unreadable)

    @property
    def _announcement(self) -> Announcement:
        return Announcement(self._able, set(filter(self._is_undeclared, self._ending)))

    async def _renew(self) -> None:
        # Side by side: one after the other they take two round trips, which may be longer than a renewal can wait.
        lost, _ = await asyncio.gather(self.holding.renew(), self.holding.announce(self._announcement))
        for place, owner in lost:
            context = {"cluster": place.cluster, "datacenter": place.datacenter}
            logger.warning(_LOST, place.cluster, owner, self.me.watcher, self.times.lease_seconds, extra=context)
            metrics.LEASES_LOST.inc()
            if place in self._watched:
                self._hand_over(place)
        if self.holding.is_refused:
            self._unstored.holds(_UNRENEWED, cause="renewal")
        metrics.set_leases(len(self._watched), len(self._watchers))

    # Taking

    async def _balance(self) -> None:
        """Take what is free and ours by the plan, and hand over what is not."""
        if not self.table.is_read:
            return
        members = self.table.members()
        planned = self._in_turn(plan(self.me.run, self._able, self._watched, members, self.table.leases()))
        self._note(planned, [self.me.watcher, *(m.watcher for m in members if m.run != self.me.run)])
        for place in planned.hand_over:
            self._hand_over(place)
        if self.holding.contact.is_whole:
            await self._take_in_turn(planned.take)

    async def _take_in_turn(self, wanted: Sequence[Place]) -> None:
        """Take as many as may begin now.

        A hundred that begin, or end, at once keep a watcher from renewing. Its leases expired then, other watchers took
        the clusters, and so on: three on one core never came to rest.
        """
        free = [place for place in wanted if place not in self.holding and place not in self._ending]
        room = max(0, self.times.begun_at_once - self.clusters.beginning)
        self._is_more_free = len(free) > room
        if room or not free:
            self._note_answers(await asyncio.gather(*map(self._take, free[:room])))

    def _in_turn(self, planned: Plan) -> Plan:
        """The plan without the clusters for an even share whose turn it is not yet: they stay watched here."""
        declared = self.clusters.declared
        room = max(0, self.times.begun_at_once - sum(place in declared for place in self._ending))
        foreign = [place for place in planned.hand_over if place in declared]
        later = set(foreign[room:])
        return planned._replace(hand_over=[place for place in planned.hand_over if place not in later])

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
            self.is_taken |= not self._is_more_free

    # Handing over

    def _hand_over(self, place: Place) -> None:
        """End the watch of a cluster, and then leave its lease to others at once, if it is still ours."""
        self._watched.remove(place)
        self._ending[place] = self.tasks.create_task(self._end(place), name=f"end of cluster {place.cluster}")

    async def _end(self, place: Place) -> None:
        retires = await self._is_to_retire(place)
        await self.clusters.end(place)
        if retires:
            await self.clusters.retire(place)
        if self._is_leaving:  # else a cluster that is free would be ours again. Not before: its last events come first
            await self.holding.withdraw()
        elif self._is_undeclared(place):  # before its lease is free: nobody may have the cluster elsewhere yet
            await self.holding.announce(self._announcement)
        await self.holding.leave(place)
        if not retires:
            await self._until_taken(place)
        self.clusters.forget(place)
        del self._ending[place]
        self.table.notify()

    async def _is_to_retire(self, place: Place) -> bool:
        """Whether no file declares the cluster any more. While NATS is away nobody knows what the others declare."""
        while self._is_undeclared(place) and place in self.holding:
            changed = self.table.changed
            if self.holding.contact.is_whole:
                if self._others_declare(place):
                    logger.info(_LEFT, place.cluster, extra={"cluster": place.cluster, "datacenter": place.datacenter})
                    return False
                if (is_ours := await self.holding.confirm(place)) is not None:
                    return is_ours
            await wait(changed, self.times.lease_renew_seconds)
        return False

    async def _until_taken(self, place: Place) -> None:
        """Wait until a watcher whose file still has the cluster has taken it, or retire it when there is none any more.

        The others may read the same edit of the file at this moment, and then nobody takes it.
        """
        while self._is_undeclared(place) and not self._others_have(place):
            changed = self.table.changed
            if self.holding.contact.is_whole and not self._others_declare(place):
                async with self.holding.alone(place) as is_ours:
                    if is_ours:
                        await self.clusters.retire(place)
                        return
            await wait(changed, self.times.lease_renew_seconds)

    def _is_undeclared(self, place: Place) -> bool:
        """Whether our file does not have the cluster any more, and we are there to see what becomes of it."""
        return not self._is_leaving and place not in self.clusters.declared

    def _others_declare(self, place: Place) -> bool:
        return any(str(place) in member.declared for member in self.table.members() if member.run != self.me.run)

    def _others_have(self, place: Place) -> bool:
        lease = self.table.lease(place)
        return lease is not None and lease.run != self.me.run
