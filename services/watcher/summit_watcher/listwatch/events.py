"""The events of a list-watch, named as in kube-rs' watcher: Init, InitApply, InitDone, Apply, Delete.

Between Init and InitDone comes one complete list, from one consistent snapshot. Another Init before InitDone means
that the list broke off: forget what was applied since the last one. Apply and Delete come only after InitDone.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

from summit_watcher.kube.manifests.metadata import Manifest
from summit_watcher.kube.resources import WatchEvent


class Init(NamedTuple):
    """A list begins. Nothing is deleted yet."""


class InitApply(NamedTuple):
    object: Manifest


class InitDone(NamedTuple):
    """The list is complete: objects that it does not contain are gone."""

    resource_version: str
    undecodable: int = 0
    """Objects that were listed and could not be read. Above 0, absence proves nothing: keep what is known."""
    finds_drift: bool = False
    """The list was to change nothing: no watch has reported what it does change."""


class Apply(NamedTuple):
    """An object was created or changed. A watch does not distinguish these reliably, so neither do we."""

    object: Manifest


class Delete(NamedTuple):
    """An object was deleted; this is its last state, at the resourceVersion of the deletion."""

    object: Manifest


class Bookmark(NamedTuple):
    """Nothing happened up to this resourceVersion: a watch may resume from it."""

    resource_version: str


ListWatchEvent: TypeAlias = Init | InitApply | InitDone | Apply | Delete | Bookmark
Sink: TypeAlias = Callable[[Sequence[ListWatchEvent]], Awaitable[None]]
"""Takes events in order, a few hundred at most at a time. The list-watch reads on when it returns."""


def event_of(line: WatchEvent[Any]) -> ListWatchEvent:
    """The event in a line of a live watch; only a BOOKMARK has no object."""
    if line.object is None:
        return Bookmark(line.resource_version)
    return Delete(line.object) if line.type == "DELETED" else Apply(line.object)
