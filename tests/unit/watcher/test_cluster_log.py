"""What the log says of one cluster: one line when its state changes, and what that means for people."""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from summit_models.cluster import ClusterHealth, ResourceHealth
from summit_models.cluster import ConnectionState as State
from summit_models.contract import ClusterName, DatacenterId
from summit_watcher.cluster_log import ClusterLog
from summit_watcher.config.datacenters import ClusterConfig
from summit_watcher.kube.resources import MIGRATIONS, VIRTUAL_MACHINES, WATCHED, Resource

ROMULUS = ClusterConfig(ClusterName("romulus"), DatacenterId("dc-solna"), Path("romulus.yaml"))


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> ClusterLog:
    caplog.set_level(logging.INFO, "summit.watcher")
    return ClusterLog(ROMULUS, lambda: datetime.now(UTC))


def health(
    state: State,
    reason: str | None = None,
    resources: Mapping[Resource[Any], State] = MappingProxyType({}),
    *,
    ago: timedelta = timedelta(0),
) -> ClusterHealth:
    """All list-watches are in this state, but for those in `resources`; the last contact was so long ago."""
    now = datetime.now(UTC)
    each = [ResourceHealth(resource=r.plural, state=resources.get(r, state), since=now) for r in WATCHED]
    cluster = {"name": ROMULUS.name, "datacenter": ROMULUS.datacenter, "since": now, "last_contact": now - ago}
    return ClusterHealth(state=state, reason=reason, resources=each, **cluster)


def test_an_outage_is_one_line_with_its_effect_and_one_with_its_duration(
    log: ClusterLog, caplog: pytest.LogCaptureFixture
) -> None:
    """The first list is one line as well."""
    log.show(health(State.STARTING), 0)
    log.show(health(State.LISTING), 0)
    for _ in range(3):
        log.show(health(State.SYNCED), 8)
    for _ in range(3):
        log.show(health(State.UNREACHABLE, "connection refused", ago=timedelta(hours=30)), 8)
    since = datetime.now(UTC) - timedelta(hours=30) + timedelta(seconds=90)
    log.show(health(State.LISTING), 8)
    log.show(health(State.SYNCED), 9)
    assert caplog.messages == [
        "cluster romulus is watched: 8 VMs",
        (
            "cluster romulus is unreachable (connection refused): its 8 VMs show their last known state, "
            f"stale since {since:%Y-%m-%d %H:%M} UTC"
        ),
        "cluster romulus is watched again: 9 VMs, after 0.0 s",
    ]
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING", "WARNING"]
    assert vars(caplog.records[1])["state"] == "unreachable"


def test_a_cluster_that_lists_again_is_not_watched_again_yet(log: ClusterLog, caplog: pytest.LogCaptureFixture) -> None:
    """The line comes when it is."""
    log.show(health(State.UNREACHABLE, "refused"), 1)
    log.show(health(State.LISTING), 1)
    (line,) = caplog.messages
    assert "its VM shows its last known state, stale from" in line


def test_a_degraded_cluster_names_what_is_missing(log: ClusterLog, caplog: pytest.LogCaptureFixture) -> None:
    """Its VMs are watched all the same."""
    shown = health(State.SYNCED, "migrations: 403", {MIGRATIONS: State.FORBIDDEN})
    log.show(shown.model_copy(update={"state": State.DEGRADED}), 2)
    assert caplog.messages == [
        f"cluster romulus is degraded (migrations: 403): its VMs are watched, without changes of {MIGRATIONS.plural}"
    ]


def test_a_degraded_cluster_whose_vms_are_not_watched_shows_their_last_known_state(
    log: ClusterLog, caplog: pytest.LogCaptureFixture
) -> None:
    """That their migrations are watched does not help."""
    shown = health(State.SYNCED, "virtualmachines: 403", {VIRTUAL_MACHINES: State.FORBIDDEN})
    log.show(shown.model_copy(update={"state": State.DEGRADED}), 2)
    assert "its 2 VMs show their last known state" in caplog.text


def test_new_files_that_cannot_be_used_have_no_line_here(log: ClusterLog, caplog: pytest.LogCaptureFixture) -> None:
    """The connection logs them, and the cluster is watched with the earlier ones."""
    shown = health(State.SYNCED)
    log.show(shown.model_copy(update={"state": State.CONFIG_ERROR, "reason": "no YAML"}), 3)
    assert caplog.messages == ["cluster romulus is watched: 3 VMs"]


def test_another_state_during_an_outage_is_logged_once(log: ClusterLog, caplog: pytest.LogCaptureFixture) -> None:
    """A server that comes and goes changes its state with every attempt."""
    for _ in range(3):
        log.show(health(State.UNREACHABLE, "refused"), 0)
        log.show(health(State.TLS_ERROR, "expired"), 0)
    assert caplog.messages == [
        "cluster romulus is unreachable (refused): none of its VMs is known",
        "cluster romulus is not trusted (expired): none of its VMs is known",
    ]


def test_an_unforeseen_failure_keeps_what_was_known_of_the_cluster(log: ClusterLog) -> None:
    """The contact counts for the staleness of its VMs, and the same failure again is the same state."""
    known = health(State.SYNCED)
    log.show(known, 5)
    first, second = log.failed("ValueError: odd", 1.0), log.failed("ValueError: odd", 2.0)
    assert (first.state, first.reason, first.last_contact) == (State.BACKOFF, "ValueError: odd", known.last_contact)
    assert second.since == first.since


def test_list_watches_that_recover_one_after_the_other_are_no_new_state(
    log: ClusterLog, caplog: pytest.LogCaptureFixture
) -> None:
    """Each tries again at its own time; what still fails after a minute is logged."""
    log.show(health(State.UNREACHABLE, "refused"), 0)
    partly = health(State.SYNCED, "migrations: refused", {MIGRATIONS: State.UNREACHABLE})
    degraded = partly.model_copy(update={"state": State.DEGRADED})
    log.show(degraded, 2)
    assert len(caplog.messages) == 1
    log.show(degraded.model_copy(update={"since": degraded.since - timedelta(minutes=2)}), 2)
    assert "degraded" in caplog.messages[-1]
