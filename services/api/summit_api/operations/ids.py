"""Ids that this api makes: those of operations, and those of the writers of their steps."""

from uuid import UUID, uuid4, uuid5

from summit_models.contract import Uid


def operation_id(namespace: UUID, caller: str, key: str | None) -> Uid:
    """A UUID; with an Idempotency-Key always the same one for the same caller, whichever api is asked."""
    return Uid(str(uuid4() if key is None else uuid5(namespace, f"{caller}\n{key}")))


def step_writer() -> str:
    """The unique writer of one step: two apis that make the same step at once must not get the same event id."""
    return f"api-{uuid4().hex}"
