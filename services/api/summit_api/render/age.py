"""Age as kubectl writes it: two units at most, fewer digits the older.

Rules: Kubernetes apimachinery, util/duration, HumanDuration.
"""

from datetime import datetime, timedelta


def age_since(created_at: datetime | None, now: datetime) -> str | None:
    """`12s`, `5m30s`, `45m`, `3h20m`, `30h`, `5d3h`, `40d`, `2y35d`, `9y`; None when the creation is unknown."""
    return None if created_at is None else human_duration(now - created_at)


def human_duration(duration: timedelta) -> str:  # noqa: PLR0911  one line per line of the rule
    """A negative duration, from clocks that disagree, is `0s`."""
    seconds = max(0, int(duration.total_seconds()))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return _two(minutes, "m", seconds % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    if days < 2 * 365:
        return f"{days}d"
    if days < 8 * 365:
        return _two(days // 365, "y", days % 365, "d")
    return f"{days // 365}y"


def _two(first: int, unit: str, second: int, second_unit: str) -> str:
    return f"{first}{unit}{second}{second_unit}" if second else f"{first}{unit}"
