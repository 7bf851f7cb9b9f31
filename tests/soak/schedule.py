"""Which act of chaos happens when, to what, for how long: the same for the same seed."""

import random
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

GAP_SECONDS = (0.3, 3.0)
"""From the beginning of one act to that of the next; acts overlap."""


class Range(NamedTuple):
    """How long an act may last, in seconds."""

    least: float
    most: float


@dataclass(frozen=True)
class Act:
    """An act of chaos, how long it lasts, how often it happens, and what it hits."""

    do: Callable[[Any, float], Coroutine[Any, Any, None]]
    lasts: Range
    weight: int = 10
    part: str = ""
    """The kind of process that it hits; else it hits a cluster. Of several another one each time."""
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
    kinds: Mapping[str, Act], *, seed: int, seconds: float, heal_seconds: float, first: Collection[str] = ()
) -> Sequence[Planned]:
    """Acts for so many seconds, all ended by then and healed `heal_seconds` later.

    Those that come `first` come once each, in random order, before all are drawn by weight: a short soak should see as
    many kinds as it can.
    """
    chosen = random.Random(f"schedule/{seed}")  # noqa: S311  reproducible, not secret
    fresh = chosen.sample(sorted(first), len(first))
    planned: list[Planned] = []
    at = chosen.uniform(*GAP_SECONDS)
    while possible := {name: most for name in kinds if (most := _longest(kinds[name], seconds - at, heal_seconds))}:
        name = next((name for name in fresh if name in possible), "") or _drawn(chosen, kinds, possible)
        fresh = [other for other in fresh if other != name]
        lasts = chosen.uniform(kinds[name].lasts.least, possible[name])
        planned.append(Planned(at, name, chosen.randrange(1000), lasts))
        at += chosen.uniform(*GAP_SECONDS)
    return planned


def _longest(kind: Act, left: float, heal_seconds: float) -> float:
    """How long an act that begins now may last; 0 if there is no time for it any more."""
    most = min(kind.lasts.most, left, left + heal_seconds - kind.heals_seconds)
    return most if most > kind.lasts.least else 0.0


def _drawn(chosen: random.Random, kinds: Mapping[str, Act], names: Collection[str]) -> str:
    return chosen.choices(list(names), [kinds[name].weight for name in names])[0]
