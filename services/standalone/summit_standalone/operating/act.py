"""One action on one VM: how far it is, in words. Pure."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import uuid4

from summit_models.operation import NEXT
from summit_runtime.printable import printable
from summit_standalone.remote.client import ApiError, Json

_LONGEST = 1000
_ENDED = frozenset(state for state, following in NEXT.items() if not following)
_WOULD = {"succeeded": "would succeed", "failed": "would fail"}


class Unanswered(StrEnum):
    """States of an act that has no operation."""

    ASKING = "asking"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    """The answer of the api was lost, again and again."""


@dataclass
class Act:
    """`vm` has `id`, `name`, `namespace` and `cluster`."""

    action: str
    vm: Json
    key: str = field(default_factory=lambda: str(uuid4()))
    """The Idempotency-Key of its request."""
    operation: Json | None = None
    error: ApiError | None = None

    @classmethod
    def of(cls, operation: Json) -> "Act":
        """The act that somebody has begun with this operation."""
        vm = {"id": operation["vmId"], "name": operation["vmName"]}
        place = {name: operation[name] for name in ("namespace", "cluster")}
        return cls(operation["action"], {**vm, **place}, operation=operation)

    @property
    def name(self) -> str:
        return full_name(self.vm)

    @property
    def state(self) -> str:
        if self.operation:
            state = str(self.operation["state"])
            return _WOULD.get(state, state) if self.operation.get("dryRun") else state
        if self.error is None:
            return Unanswered.ASKING
        return Unanswered.UNKNOWN if self.error.status is None else Unanswered.REFUSED

    @property
    def has_ended(self) -> bool:
        """Whether nothing more is known by waiting."""
        return self.operation["state"] in _ENDED if self.operation else self.error is not None

    @property
    def has_succeeded(self) -> bool:
        return self.operation is not None and self.operation["state"] == "succeeded"

    @property
    def text(self) -> str:
        """Where it is, or how it has ended."""
        if self.operation:
            return words_of(self.operation)
        if self.state == Unanswered.UNKNOWN:
            shows = f"summit-connect operations --vm {self.vm['id']} shows it"
            return f"{self.error}; whether it has the request is not known, {shows}"
        return str(self.error or "")

    def update(self, operation: Json) -> bool:
        """Take a step, unless a newer one is known; return whether it was taken."""
        if self.operation and operation["revision"] <= self.operation["revision"]:
            return False
        self.operation = operation
        return True

    def seconds(self, now: datetime) -> int:
        """Since it was asked for, until its end. The clock of the server may differ from ours."""
        return seconds_of(self.operation, now) if self.operation else 0


def full_name(vm: Json) -> str:
    return "/".join(filter(None, (vm.get("namespace"), vm["name"])))


def words_of(operation: Json) -> str:
    """The progress while it runs, else the last word on it; one line, whatever the cluster has written."""
    text = operation["message"] if has_ended(operation) else operation.get("progress") or operation["message"]
    return printable(" ".join(str(text or "").split()), _LONGEST)


def has_ended(operation: Json) -> bool:
    return operation["state"] in _ENDED


def seconds_of(operation: Json, now: datetime) -> int:
    began = datetime.fromisoformat(operation["requestedAt"])
    ended = operation.get("endedAt")
    return max(0, int(((datetime.fromisoformat(ended) if ended else now) - began) / timedelta(seconds=1)))


def as_json(acts: list[Act]) -> dict[str, Any]:
    """The operations as the api shows them, and what has none."""
    refused = [act for act in acts if act.operation is None]
    return {
        "items": [act.operation for act in acts if act.operation],
        "refused": [
            {"vm": act.vm, "action": act.action, "state": act.state, "detail": act.text}
            | ({"reason": act.error.problem["reason"]} if act.error and "reason" in act.error.problem else {})
            for act in refused
        ],
    }
