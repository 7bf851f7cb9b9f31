"""The moment of an answer. Ages and staleness, which no row has, depend only on it."""

from dataclasses import dataclass
from datetime import datetime

from summit_api.render.age import age_since
from summit_models.contract import ClusterName


@dataclass(frozen=True)
class Moment:
    now: datetime
    fresh_clusters: frozenset[ClusterName] | None
    """None for a moment in the past: staleness is only about the current state."""

    def age(self, created_at: datetime | None) -> str | None:
        return age_since(created_at, self.now)

    def seconds_since(self, contact: datetime | None) -> int | None:
        """Whole seconds; 0 for a contact that the clock of another machine puts into the future."""
        return None if contact is None else max(0, int((self.now - contact).total_seconds()))

    def is_stale(self, cluster: ClusterName | None, *, managed: bool = True) -> bool:
        """A VM that was added by hand has no cluster, and is never stale."""
        return managed and self.fresh_clusters is not None and cluster not in self.fresh_clusters
