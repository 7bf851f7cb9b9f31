"""The newest step of each operation that is done here, from the log and from our own appends, whichever is first.

The log shows our own steps after a moment, and again whenever it is read from the beginning: an operation that has
ended here must not begin again by one of its earlier steps.
"""

import asyncio

from summit_models.contract import Revision, Uid
from summit_models.operation import Operation
from summit_watcher.operations.steps import Step


class Newest:
    def __init__(self) -> None:
        self._steps: dict[Uid, Step] = {}
        self._left: dict[Uid, Revision] = {}
        """Up to which revision an operation that was done here is known, until the log has shown as much."""
        self._changed: dict[Uid, asyncio.Event] = {}

    def changed(self, id_: Uid) -> asyncio.Event:
        """It is set at the next step of an operation, and when the cluster shows its VM otherwise.

        Take it, then read, then wait for it.
        """
        return self._changed.setdefault(id_, asyncio.Event())

    def operations(self) -> list[Operation]:
        """Those that are done here."""
        return [step.operation for step in self._steps.values()]

    def __getitem__(self, id_: Uid) -> Step:
        return self._steps[id_]

    def begins(self, step: Step) -> bool:
        """Note a step of the log; True if the operation has not ended, and is not done here yet: it is from now on."""
        id_ = step.operation.id
        if id_ in self._steps:
            self.note(step)
            return False
        left = self._left.get(id_, Revision(0))
        if step.revision >= left:
            self._left.pop(id_, None)
        if step.revision <= left or step.operation.has_ended:
            return False
        self._steps[id_] = step
        return True

    def note(self, step: Step) -> None:
        """Note a newer step of an operation that is done here."""
        id_ = step.operation.id
        if step.revision > self._steps[id_].revision:
            self._steps[id_] = step
            self.notify(id_)

    def leave(self, id_: Uid) -> None:
        """The operation is not done here any more: it has ended, or another watcher has it."""
        self._left[id_] = self._steps.pop(id_).revision
        self._changed.pop(id_, None)

    def notify(self, id_: Uid) -> None:
        if changed := self._changed.pop(id_, None):
            changed.set()
