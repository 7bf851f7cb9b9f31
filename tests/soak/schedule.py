"""Which act of chaos happens when, to what, for how long: the same for the same seed."""

import random
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

GAP_SECONDS = (0.3, 3.0)
"""From the beginning of one act to that of the next; acts overlap."""


class Range(NamedTuple):
    """How long an act may last, in seconds."""

    least: float
    most: float


class Kind(NamedTuple):
    """What the schedule has to know of an act."""

    lasts: Range
    weight: int = 10
    ends_service: bool = False
    """Only in the first round: in the second, services live long enough for their size to mean something."""
    heals_seconds: float = 10.0
    """How long after it things take to be well again: it is not begun later than allows for that."""


class Planned(NamedTuple):
    """One act of the schedule; `number` chooses what it hits."""

    at: float
    act: str
    number: int
    lasts: float


def schedule(
    kinds: Mapping[str, Kind], *, seed: int, seconds: float, heal_seconds: float, first: Collection[str] = ()
) -> Sequence[Planned]:
    """Acts for so many seconds, all ended by then and healed `heal_seconds` later.

    Those that come `first` come once each, in random order, before all are drawn by weight: a short soak should see as
    many kinds as it can.
    """
    chosen = random.Random(f"schedule/{seed}")  # noqa: S311  reproducible, not secret
    fresh = chosen.sample(sorted(first), len(first))
    planned: list[Planned] = []
    at = chosen.uniform(*GAP_SECONDS)
    while possible := {n: kind for n, kind in kinds.items() if _fits(kind, seconds - at, heal_seconds)}:
        name = next((name for name in fresh if name in possible), "") or _drawn(chosen, possible)
        fresh = [other for other in fresh if other != name]
        planned.append(Planned(at, name, chosen.randrange(1000), _lasting(chosen, possible[name], seconds - at)))
        at += chosen.uniform(*GAP_SECONDS)
    return planned


def _fits(kind: Kind, left: float, heal_seconds: float) -> bool:
    return kind.lasts.least <= left and kind.lasts.least + kind.heals_seconds <= left + heal_seconds


def _lasting(chosen: random.Random, kind: Kind, left: float) -> float:
    return chosen.uniform(kind.lasts.least, min(kind.lasts.most, left))


def _drawn(chosen: random.Random, kinds: Mapping[str, Kind]) -> str:
    return chosen.choices(list(kinds), [kind.weight for kind in kinds.values()])[0]
