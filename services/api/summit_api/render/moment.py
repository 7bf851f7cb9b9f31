"""The moment of an answer. Ages and staleness, which no row has, depend only on it.

An age is as kubectl writes it: two units at most, and fewer digits with a greater age. Rules: Kubernetes apimachinery,
util/duration, HumanDuration.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from summit_models.contract import ClusterName
from summit_models.watcher import Lease, Place


class Behind(NamedTuple):
    """Since when answers do not show the present, and why, as a sentence."""

    since: datetime
    reason: str


@dataclass(frozen=True)
class Moment:
    now: datetime
    fresh_clusters: frozenset[ClusterName] | None
    """None for a moment in the past: staleness is only about the current state."""
    is_connected: bool = True
    """Whether reports of watchers can arrive: this api is connected to NATS."""
    behind: Behind | None = None
    """When the tables do not follow the log, or cannot be read: then no cluster is fresh."""
    lease_of: Callable[[Place], Lease | None] = lambda _: None
    """Who has a cluster; None: nobody, or this api does not know."""

    def age(self, created_at: datetime | None) -> str | None:
        """`12s`, `5m30s`, `45m`, `3h20m`, `30h`, `5d3h`, `40d`, `2y35d`, `9y`; None when the creation is unknown."""
        return None if created_at is None else human_duration(self.now - created_at)

    def seconds_since(self, contact: datetime | None) -> int | None:
        """Whole seconds; 0 for a contact that the clock of another machine puts into the future."""
        return None if contact is None else max(0, int((self.now - contact).total_seconds()))

    def clock_time(self, time: datetime) -> str:
        return clock_time(time, self.now)

    def is_stale(self, cluster: ClusterName | None, *, managed: bool = True) -> bool:
        """A VM that was added by hand has no cluster, and is never stale."""
        return managed and self.fresh_clusters is not None and cluster not in self.fresh_clusters


def clock_time(time: datetime, now: datetime) -> str:
    """A time as a log line has it: `22:27 UTC`, with the day if it is another one."""
    return f"{time:%H:%M} UTC" if time.date() == now.date() else f"{time:%Y-%m-%d %H:%M} UTC"


def human_duration(duration: timedelta) -> str:  # noqa: PLR0911  one line per line of the rule
    """A negative duration, from clocks that disagree, is `0s`. The oldest come first, since most VMs are old."""
    days, seconds = duration.days, duration.seconds
    if days >= 8 * 365:
        return f"{days // 365}y"
    if days >= 2 * 365:
        return _two(days // 365, "y", days % 365, "d")
    if days >= 8:
        return f"{days}d"
    if days >= 2:
        return _two(days, "d", seconds // 3600, "h")
    hours = 24 * days + seconds // 3600
    if hours >= 8:
        return f"{hours}h"
    if hours >= 3:
        return _two(hours, "h", seconds // 60 % 60, "m")
    if days < 0:
        return "0s"
    if seconds >= 600:
        return f"{seconds // 60}m"
    if seconds >= 120:
        return _two(seconds // 60, "m", seconds % 60, "s")
    return f"{seconds}s"


def _two(first: int, unit: str, second: int, second_unit: str) -> str:
    return f"{first}{unit}{second}{second_unit}" if second else f"{first}{unit}"
