"""The objects of one resource in one cluster, as far as they were seen, by uid.

A list replaces the store at `init_done` and not before, so a list that breaks off in the middle changes nothing and
deletes nothing. What changed is told to one listener, object by object.
"""

from collections.abc import Callable
from typing import Generic, NamedTuple, Protocol, TypeVar

from summit_models.contract import Uid


class Facts(Protocol):
    """What the store has to know of an object."""

    @property
    def uid(self) -> str: ...
    @property
    def resource_version(self) -> int: ...


FactsT = TypeVar("FactsT", bound=Facts)


class Change(NamedTuple, Generic[FactsT]):
    """One object is new, other than before, or gone."""

    uid: Uid
    facts: FactsT | None
    """None: it is gone."""
    before: FactsT | None
    """What was known of it; None: it is new."""
    version: int
    """resourceVersion of the change; of a delete found by comparison that of the list."""
    by_comparison: bool = False
    """It was missing from a list: nobody saw it go, nor its last state."""


class Store(Generic[FactsT]):
    def __init__(self, on_change: Callable[[Change[FactsT]], None]) -> None:
        self.items: dict[Uid, FactsT] = {}
        self.listed = False
        """A list has been seen to its end."""
        self.complete = False
        """Such a list has left nothing out; before that, what is missing means nothing."""
        self.unavailable = False
        """It cannot be read in this cluster: forbidden, or not there."""
        self.list_version = 0
        self.version = 0
        """Up to which resourceVersion everything is in here; 0: not known."""
        self._on_change = on_change
        self._listing: dict[Uid, FactsT] = {}

    @property
    def settled(self) -> bool:
        return self.listed or self.unavailable

    def get(self, uid: Uid | None) -> FactsT | None:
        return self.items.get(uid) if uid else None

    def init(self) -> None:
        """A list begins; one that had begun before is forgotten."""
        self._listing = {}

    def init_apply(self, facts: FactsT) -> None:
        uid = Uid(facts.uid)
        known = self.items.get(uid)
        self._listing[uid] = known if known is not None and _same(known, facts) else facts

    def init_done(self, version: int, *, sweep: bool) -> None:
        """The list is complete. Ends are told first: a name may have returned with another uid.

        Without `sweep` what is missing is kept: some of the list could not be read, so absence proves nothing.
        """
        before, self.items, self._listing = self.items, self._listing, {}
        if not sweep:
            self.items = before | self.items
        self.listed, self.complete = True, self.complete or sweep
        self.list_version = self.version = version
        for uid in before.keys() - self.items.keys():
            self._on_change(Change(uid, None, before[uid], version, by_comparison=True))
        for uid, facts in list(self.items.items()):
            if before.get(uid) is not facts:
                self._on_change(Change(uid, facts, before.get(uid), facts.resource_version))

    @property
    def unlisted(self) -> int:
        """How many known objects the list under way has not contained so far."""
        return len(self.items.keys() - self._listing.keys())

    def is_listing(self, uid: Uid) -> bool:
        return uid in self._listing

    def apply(self, facts: FactsT) -> None:
        uid = Uid(facts.uid)
        known = self.items.get(uid)
        self.version = facts.resource_version
        if known is not None and _same(known, facts):
            return
        self.items[uid] = facts
        self._on_change(Change(uid, facts, known, facts.resource_version))

    def delete(self, facts: FactsT) -> None:
        uid = Uid(facts.uid)
        self.version = facts.resource_version
        self._on_change(Change(uid, None, self.items.pop(uid, None) or facts, facts.resource_version))

    def forget(self, uid: Uid, version: int) -> None:
        """Something else has shown that this object is gone."""
        self._on_change(Change(uid, None, self.items.pop(uid), version, by_comparison=True))


def _same(known: Facts, facts: Facts) -> bool:
    return known.resource_version == facts.resource_version != 0
