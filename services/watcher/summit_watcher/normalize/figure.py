"""A number that was read, or why it could not be read."""

from functools import lru_cache

import msgspec

from summit_watcher.kube.manifests import Quantity
from summit_watcher.normalize import quantity


class Figure(msgspec.Struct, frozen=True, gc=False):
    """Exactly one of the two is set."""

    value: int | None
    problem: str | None = None


@lru_cache(maxsize=4096)
def known(value: int) -> Figure:
    """The figure `value`; equal ones are one object, so that 10 000 VMs of 8 GiB share it."""
    return Figure(value)


@lru_cache(maxsize=4096)
def unknown(problem: str) -> Figure:
    return Figure(None, problem)


@lru_cache(maxsize=4096, typed=True)
def measured(concept: str, written: str | float) -> Figure:
    """A quantity in whole base units (cores, bytes); `concept` begins the sentence when it is none."""
    value = quantity.value(written)
    return known(value) if value is not None else unknown(f"{concept}: quantity {shown(written)} is invalid")


def is_zero(written: Quantity) -> bool:
    """Absent, or zero: KubeVirt's defaults pass over both."""
    return written is None or quantity.value(written) == 0


def shown(value: object) -> str:
    """A foreign value in a sentence: quoted, and short whatever was sent."""
    return repr(value if not isinstance(value, str) or len(value) <= 40 else f"{value[:40]}…")
