"""How far a bulk operation is: its own state, and the operation on each VM. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from summit_runtime.printable import printable
from summit_standalone.bulk.plan import counted
from summit_standalone.operating.act import Act
from summit_standalone.remote.client import Json

_FINAL = frozenset({"succeeded", "failed", "canceled"})
_ORDER = ("waiting", "pending", "running", "canceling", "succeeded", "failed", "canceled", "expired", "skipped")
_LONGEST = 1000


@dataclass
class Course:
    """`parts` are the operations on single VMs by their ids: VMs that wait for their turn have none yet."""

    operation: Json | None = None
    parts: dict[str, Act] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return str(self.operation["id"]) if self.operation else ""

    @property
    def has_ended(self) -> bool:
        return self.operation is not None and self.operation["state"] in _FINAL

    @property
    def has_succeeded(self) -> bool:
        """Whether it was done to each of the VMs: one that was skipped is none of them."""
        return self.counts()["succeeded"] == (self.operation or {}).get("total")

    def take(self, operation: Json) -> bool:
        """A step of the bulk operation itself, unless a newer one is known; return whether it was taken."""
        if self.operation and operation["revision"] < self.operation["revision"]:
            return False
        is_new = not self.operation or operation["state"] != self.operation["state"]
        self.operation = operation
        return is_new

    def take_part(self, operation: Json) -> Act | None:
        """A step of the operation on one VM; None if it is known."""
        if act := self.parts.get(operation["id"]):
            return act if act.update(operation) else None
        self.parts[operation["id"]] = act = Act.of(operation)
        return act

    def counts(self) -> Counter[str]:
        """How many VMs are in each state."""
        states = Counter(str(act.operation["state"]) for act in self.parts.values() if act.operation)
        total = int((self.operation or {}).get("total", 0))
        return states + Counter(waiting=max(0, total - states.total()))

    def interesting(self) -> Sequence[Act]:
        """What is under way, then what did not succeed."""
        acts = self.parts.values()
        return [act for act in acts if not act.has_ended] + [
            act for act in acts if act.has_ended and not act.has_succeeded
        ]

    @property
    def text(self) -> str:
        """For example `stop of 12 VMs running: 8 waiting, 4 running`; at its end, the api's own words."""
        if self.operation is None:
            return ""
        counts, state, message = self.counts(), self.operation["state"], self.operation["message"]
        states = ", ".join(f"{counts[state]} {state}" for state in _ORDER if counts[state])
        words = message if self.has_ended and message else states
        if message and state in ("paused", "canceling"):
            words += f"; {message}"
        head = f"{self.operation['action']} of {counted(self.operation['total'])} {state}"
        return printable(f"{head}: {words}", _LONGEST)
