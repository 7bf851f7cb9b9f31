"""The objects of one resource in one cluster, by uid, as its list-watch has reported them.

A list replaces the store at `init_done` and not before, so a list that breaks off changes nothing and deletes nothing.
Each method answers what it has changed.
"""

from typing import Generic, NamedTuple, TypeVar, cast

from summit_models.contract import Uid
from summit_watcher.normalize.facts import Facts

FactsT = TypeVar("FactsT", bound=Facts)


class Change(NamedTuple, Generic[FactsT]):
    """One object is new, has changed, or is gone."""

    uid: Uid
    facts: FactsT | None
    """None: it is gone."""
    before: FactsT | None
    """What was known of it; None: it is new."""
    version: int
    """resourceVersion of the change; of a delete found by comparison that of the list."""
    by_comparison: bool = False
    """It was missing from a list: no watch has reported its delete, nor its last state."""

    @property
    def latest(self) -> FactsT:
        """The object as it is, or as it was before it was gone: there is always one of the two."""
        return cast("FactsT", self.facts or self.before)


class Store(Generic[FactsT]):
    def __init__(self) -> None:
        self.items: dict[Uid, FactsT] = {}
        self.listed = False
        """A list has been read to its end."""
        self.complete = False
        """Such a list has left nothing out; before that, an object that is missing here may exist."""
        self.unavailable = False
        """The resource cannot be read in this cluster: it is forbidden or does not exist."""
        self.list_version = 0
        self.version = 0
        """The store has everything up to this resourceVersion; 0: not known."""
        self._listing: dict[Uid, FactsT] = {}

    @property
    def settled(self) -> bool:
        return self.listed or self.unavailable

    def get(self, uid: Uid | None) -> FactsT | None:
        return self.items.get(uid) if uid else None

    def init(self) -> None:
        """Begin a list; one that was begun before is dropped."""
        self._listing = {}

    def init_apply(self, facts: FactsT) -> None:
        uid = Uid(facts.uid)
        known = self.items.get(uid)
        self._listing[uid] = known if known is not None and _same(known, facts) else facts

    def init_done(self, version: int, *, sweep: bool) -> list[Change[FactsT]]:
        """Replace the store by the list. Deletes come first in the answer: a name may have returned with another uid.

        Without `sweep` missing objects are kept: some of the list could not be read, so a missing object may exist.
        """
        before, self.items, self._listing = self.items, self._listing, {}
        if not sweep:
            self.items = before | self.items
        self.listed, self.complete = True, self.complete or sweep
        self.list_version = self.version = version
        gone = before.keys() - self.items.keys()
        return [
            *(Change(uid, None, before[uid], version, by_comparison=True) for uid in gone),
            *(
                Change(uid, facts, before.get(uid), facts.resource_version)
                for uid, facts in self.items.items()
                if before.get(uid) is not facts
            ),
        ]

    @property
    def unlisted(self) -> int:
        """How many known objects the present list has not contained so far."""
        return len(self.items.keys() - self._listing.keys())

    def is_listing(self, uid: Uid) -> bool:
        return uid in self._listing

    def apply(self, facts: FactsT) -> Change[FactsT] | None:
        """Take in an object; None when it is already known at this resourceVersion."""
        uid = Uid(facts.uid)
        known = self.items.get(uid)
        self.version = facts.resource_version
        if known is not None and _same(known, facts):
            return None
        self.items[uid] = facts
        return Change(uid, facts, known, facts.resource_version)

    def delete(self, facts: FactsT) -> Change[FactsT]:
        uid = Uid(facts.uid)
        self.version = facts.resource_version
        return Change(uid, None, self.items.pop(uid, None) or facts, facts.resource_version)

    def drop(self, uid: Uid, version: int) -> Change[FactsT]:
        """Remove an object whose delete another object has shown."""
        return Change(uid, None, self.items.pop(uid), version, by_comparison=True)


def _same(known: Facts, facts: Facts) -> bool:
    return known.resource_version == facts.resource_version != 0
