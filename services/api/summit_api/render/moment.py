"""The moment an answer is made at: what it shows beyond the rows, ages and staleness, depends on this alone."""

from dataclasses import dataclass
from datetime import datetime

from summit_api.render.age import age_since
from summit_models.contract import ClusterName


@dataclass(frozen=True)
class Moment:
    now: datetime
    fresh_clusters: frozenset[ClusterName] | None
    """None of a moment in the past: staleness tells of the picture one has now."""

    def age(self, created_at: datetime | None) -> str | None:
        return age_since(created_at, self.now)

    def seconds_since(self, contact: datetime | None) -> int | None:
        """Whole seconds; 0 for what another machine's clock puts into the future."""
        return None if contact is None else max(0, int((self.now - contact).total_seconds()))

    def is_stale(self, cluster: ClusterName | None, *, managed: bool = True) -> bool:
        """A VM that was added by hand has no cluster that could fall silent."""
        return managed and self.fresh_clusters is not None and cluster not in self.fresh_clusters
