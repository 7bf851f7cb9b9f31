"""The log lines about one cluster as a whole: its state, and what that means for the people who look at its VMs.

One line when the state changes, one every five minutes while it lasts, one when it is over. What happens to a single
list-watch is at DEBUG: an outage would be six lines that name no effect.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from summit_models.cluster import STALE_AFTER_SECONDS, ClusterHealth, ConnectionState
from summit_runtime.condition import Condition
from summit_watcher.config.datacenters import ClusterConfig
from summit_watcher.kube.resources import VIRTUAL_MACHINES
from summit_watcher.log.health import unwell

logger = logging.getLogger("summit.watcher")

_STATES = {
    ConnectionState.UNREACHABLE: "is unreachable",
    ConnectionState.BACKOFF: "is failing",
    ConnectionState.THROTTLED: "is throttled",
    ConnectionState.STALE: "is silent",
    ConnectionState.AUTH_FAILED: "does not let us in",
    ConnectionState.FORBIDDEN: "is forbidden",
    ConnectionState.CRD_MISSING: "has no KubeVirt",
    ConnectionState.TLS_ERROR: "is not trusted",
    ConnectionState.CONFIG_ERROR: "is wrongly configured",
    ConnectionState.BACKPRESSURE: "is held back",
    ConnectionState.IDENTITY_CHANGED: "is another one than before",
    ConnectionState.DEGRADED: "is degraded",
}
_LEVELS = {
    ConnectionState.CRD_MISSING: logging.INFO,  # a cluster without KubeVirt is not broken
    ConnectionState.AUTH_FAILED: logging.ERROR,
    ConnectionState.CONFIG_ERROR: logging.ERROR,
    ConnectionState.TLS_ERROR: logging.ERROR,
    ConnectionState.IDENTITY_CHANGED: logging.ERROR,
}
RECOVERY = timedelta(seconds=60)
"""Within it each list-watch has tried again: the longest pause between two attempts, where nothing else is wrong."""
_COMING = frozenset({ConnectionState.STARTING, ConnectionState.LISTING})


@dataclass
class ClusterLog:
    """Shown the health again and again, it logs what is new in it."""

    cluster: ClusterConfig
    clock: Callable[[], datetime]
    last: ClusterHealth | None = None
    """The health that was shown last."""
    _vms: int = 0
    """How many VMs of the cluster were published then."""
    _trouble: Condition = field(default_factory=lambda: Condition(logger), repr=False)
    _is_watched: bool = False

    def show(self, health: ClusterHealth, vms: int) -> None:
        """Log the state unless it is known, or still on its way."""
        self.last, self._vms = health, vms
        if health.state in _COMING or self._is_recovering(health):
            return
        if health.state is ConnectionState.SYNCED or _only_waits_for_files(health):
            self._watched()
        else:
            self._wrong(health)

    def _is_recovering(self, health: ClusterHealth) -> bool:
        """Whether some list-watches work again after an outage, and the others have not tried yet."""
        is_partly_back = self._trouble.active and health.state is ConnectionState.DEGRADED
        return is_partly_back and self.clock() - health.since < RECOVERY

    def failed(self, reason: str, retry_in: float) -> ClusterHealth:
        """Log an unforeseen failure, after which the cluster is watched from the beginning; the health then."""
        name, datacenter, now = self.cluster.name, self.cluster.datacenter, self.clock()
        last = self.last or ClusterHealth(name=name, datacenter=datacenter, state=ConnectionState.STARTING, since=now)
        since = last.since if last.reason == reason else now
        self.last = last.model_copy(update={"state": ConnectionState.BACKOFF, "reason": reason, "since": since})
        self._wrong(self.last, retry_in=round(retry_in, 1))
        return self.last

    def leave(self) -> None:
        """Forget the state: another watcher has begun to watch the cluster."""
        self._trouble, self._is_watched = Condition(logger), False

    def _watched(self) -> None:
        extra = self._extra(ConnectionState.SYNCED, None)
        if self._trouble.active:
            self._trouble.ends("cluster %s is watched again: %s", self.cluster.name, _count(self._vms), extra=extra)
        elif not self._is_watched:
            logger.info("cluster %s is watched: %s", self.cluster.name, _count(self._vms), extra=extra)
        self._is_watched = True

    def _wrong(self, health: ClusterHealth, **extra: object) -> None:
        self._trouble.holds(
            "cluster %s %s (%s): %s",
            self.cluster.name,
            _STATES.get(health.state, f"is {health.state}"),
            health.reason or "no reason is known",
            _effect(health, self._vms, self.clock()),
            cause=health.state,
            level=_LEVELS.get(health.state, logging.WARNING),
            extra=self._extra(health.state, health.reason) | extra,
        )

    def _extra(self, state: ConnectionState, reason: str | None) -> dict[str, object]:
        place = {"cluster": self.cluster.name, "datacenter": self.cluster.datacenter}
        return {**place, "state": str(state), "reason": reason}


def _only_waits_for_files(health: ClusterHealth) -> bool:
    """Whether new files cannot be used, and the earlier connection works: the connection logs that itself."""
    is_held_back = health.state is ConnectionState.BACKPRESSURE
    return bool(health.resources) and not unwell(health.resources) and not is_held_back


def _effect(health: ClusterHealth, vms: int, now: datetime) -> str:
    """What the state means for the VMs that people see."""
    wrong = [r.resource for r in unwell(health.resources)]
    if wrong and VIRTUAL_MACHINES.plural not in wrong:
        return f"its VMs are watched, without changes of {', '.join(wrong)}"
    if not vms:
        return "none of its VMs is known"
    shown = "its VM shows its last known state" if vms == 1 else f"its {vms} VMs show their last known state"
    return f"{shown}, {_staleness(health.last_contact, now)}" if health.last_contact else shown


def _staleness(last_contact: datetime, now: datetime) -> str:
    stale_at = last_contact + timedelta(seconds=STALE_AFTER_SECONDS)
    moment = f"{stale_at:%H:%M}" if stale_at.date() == now.date() else f"{stale_at:%Y-%m-%d %H:%M}"
    return f"stale since {moment} UTC" if stale_at <= now else f"stale from {moment} UTC on"


def _count(vms: int) -> str:
    return f"{vms} VM" if vms == 1 else f"{vms} VMs"
