"""Metrics: one name and one help text for each thing, series from the start, and none left behind."""

import re
from datetime import UTC, datetime, timedelta
from time import process_time
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.metric_table import rows
from support.paths import ROOT
from support.promql import rules

import summit_api.feed.hub
import summit_api.metrics
import summit_api.operations.metrics
import summit_projector.metrics
import summit_watcher.metrics
from summit_api.feed.frame import Cause
from summit_api.operations.metrics import count_operations
from summit_models.cluster import ClusterHealth, ConnectionState, ResourceHealth
from summit_models.contract import ClusterName, DatacenterId, Uid
from summit_models.operation import Action, Operation, OperationState
from summit_runtime import metrics
from summit_runtime.operation_metrics import count_end
from summit_watcher.kube.errors import (
    ErrorEvent,
    IdleError,
    LostError,
    ShortWatch,
    StatusError,
    UndecodableLine,
    WatcherError,
)
from summit_watcher.metrics import StreamMetrics, count_published, forget_cluster, set_cluster, watch_end_reason

OPERATIONS = ROOT / "docs" / "operations.md"
ALERTS = ROOT / "config" / "prometheus" / "alerts.yaml"
SERVICES = (summit_api.metrics, summit_api.operations.metrics, summit_projector.metrics, summit_watcher.metrics)


def health(name: str) -> ClusterHealth:
    now = datetime(2026, 11, 23, tzinfo=UTC)
    return ClusterHealth(name=ClusterName(name), datacenter=DatacenterId("dc"), state=ConnectionState.SYNCED, since=now)


def samples() -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """All series of ours, by name and labels."""
    families = text_string_to_metric_families(metrics.exposition().decode())
    found = [s for family in families for s in family.samples if s.name.startswith("summit_")]
    return {(s.name, frozenset(s.labels.items())): s.value for s in found}


def of_cluster(name: str) -> set[str]:
    return {series for series, labels in samples() if ("cluster", name) in labels}


def test_each_series_explains_what_a_change_of_it_means() -> None:
    """A name alone wakes people without a reason."""
    families = [
        f for f in text_string_to_metric_families(metrics.exposition().decode()) if f.name.startswith("summit_")
    ]
    assert len(families) > 20
    assert [f.name for f in families if len(f.documentation) < 30] == []


def test_labels_are_clusters_resources_and_small_enums() -> None:
    """A label with the name of a VM would make a series for each of a hundred thousand."""
    StreamMetrics("labels", "virtualmachines")
    labels = {name for _, pairs in samples() for name, _ in pairs} - {"le"}
    assert labels <= {
        "cluster",
        "resource",
        "state",
        "type",
        "reason",
        "method",
        "route",
        "code",
        "version",
        "kind",
        "action",
    }


def test_series_of_a_cluster_exist_with_0_from_the_start() -> None:
    """`rate()` sees the first error only if there was a 0 before it."""
    StreamMetrics("fresh", "virtualmachines")
    at = {(series, dict(labels).get("reason")): value for (series, labels), value in samples().items()
          if ("cluster", "fresh") in labels}  # fmt: skip
    assert at["summit_watch_restarts_total", "idle"] == 0
    assert at["summit_decode_errors_total", None] == 0
    assert at["summit_synthetic_deletes_total", None] == 0


def test_exactly_one_state_of_a_list_watch_is_1() -> None:
    """Alerts compare with 1, dashboards add up."""
    stream = StreamMetrics("states", "virtualmachines")
    stream.set_state(ConnectionState.SYNCED)
    stream.set_state(ConnectionState.FORBIDDEN)
    states = {dict(labels)["state"]: value for (series, labels), value in samples().items()
              if series == "summit_stream_state" and ("cluster", "states") in labels}  # fmt: skip
    assert [state for state, value in states.items() if value] == ["forbidden"]


def test_objects_of_each_list_watch_are_counted() -> None:
    """How many VMs a watcher knows is on the dashboard; before the first list it is 0."""
    lists = [("virtualmachines", 120), ("datavolumes", None)]
    state = {"state": ConnectionState.SYNCED, "since": datetime(2026, 11, 23, tzinfo=UTC)}
    resources = [ResourceHealth(resource=name, known_objects=known, **state) for name, known in lists]  # type: ignore[arg-type]
    set_cluster(health("counted").model_copy(update={"resources": resources}), stuck_migrations=0)
    found = {dict(labels)["resource"]: value for (series, labels), value in samples().items()
             if series == "summit_stream_objects" and ("cluster", "counted") in labels}  # fmt: skip
    assert found == {"virtualmachines": 120, "datavolumes": 0}


def test_series_of_a_removed_cluster_are_removed() -> None:
    """Otherwise a cluster that no longer exists would be unsynced for ever."""
    StreamMetrics("removed", "virtualmachines").received(["ADDED", "ADDED"])
    set_cluster(health("removed"), stuck_migrations=0)
    StreamMetrics("kept", "virtualmachines")
    forget_cluster(ClusterName("removed"))
    assert of_cluster("removed") == set()
    assert of_cluster("kept")


def test_clusters_are_forgotten_faster_than_they_were_made() -> None:
    """A watcher with 300 clusters stood still for 13 s when it handed them over, and lost its leases meanwhile."""
    names = [f"many-{n}" for n in range(100)]
    begun_at = process_time()
    for name in names:
        StreamMetrics(name, "virtualmachines")
        set_cluster(health(name), stuck_migrations=0)
        count_published(ClusterName(name), {"added": 1})
    made_at = process_time()
    for name in names:
        forget_cluster(ClusterName(name))
    assert process_time() - made_at < made_at - begun_at
    assert not {dict(labels).get("cluster") for _, labels in samples()} & set(names)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (None, "eof"),
        (IdleError("silent"), "idle"),
        (LostError("broken"), "lost"),
        (ShortWatch("over at once"), "short"),
        (ErrorEvent(410, "Expired", None), "gone"),
        (ErrorEvent(500, None, None), "error_event"),
        (StatusError(410, "Gone", None), "gone"),
        (StatusError(429, None, None), "throttled"),
        (StatusError(403, "Forbidden", None), "refused"),
        (UndecodableLine("no JSON", b"x"), "undecodable"),
    ],
)
def test_end_of_a_watch_is_counted_by_its_reason(error: WatcherError | None, reason: str) -> None:
    """Few reasons, so that a dashboard can show all of them."""
    assert watch_end_reason(error) == reason


def named(text: str) -> set[str]:
    """Metrics that a text names, without the suffixes of their samples."""
    return {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in re.findall(r"summit_\w+[a-z]", text)}


def section(heading: str) -> str:
    return OPERATIONS.read_text().partition(f"### {heading}\n")[2].partition("\n#")[0]


def test_each_metric_that_is_named_somewhere_exists() -> None:
    """An alert on a name that does not exist never fires."""
    StreamMetrics("documented", "virtualmachines")
    set_cluster(health("documented"), stuck_migrations=0)
    exposed = {family.name for family in text_string_to_metric_families(metrics.exposition().decode())}
    elsewhere = re.findall(r"`(summit_[a-z_]+_total)", OPERATIONS.read_text())
    assert named(section("Alerts")) | named(ALERTS.read_text()) | named(" ".join(elsewhere)) <= exposed


def test_each_alert_of_the_documentation_is_a_rule() -> None:
    """The table explains the alerts that the file defines."""
    assert all(rule["annotations"]["summary"] for rule in rules())
    assert named(section("Alerts")) - {"summit_stream_state"} == named(" ".join(rule["expr"] for rule in rules()))


def test_the_documentation_has_each_metric_as_it_is_declared() -> None:
    """With its service, its labels and its help text: `python -m support.metric_table` in tests prints the table."""
    table = [line for line in section("All metrics").splitlines() if line.startswith("|")]
    assert table == rows()
    exposed = {family.name for family in text_string_to_metric_families(metrics.exposition().decode())}
    assert named(" ".join(table)) >= {name for name in exposed if name.startswith("summit_")}


def operation(**more: Any) -> Operation:
    asked = datetime(2026, 11, 23, 12, tzinfo=UTC)
    fixed = {"vm_id": "vm", "vm_name": "web", "namespace": "prod", "cluster": "vulcan", "datacenter": "dc"}
    times = {"requested_at": asked, "started_at": asked, "ended_at": asked + timedelta(seconds=7), "deadline": asked}
    return Operation(id=Uid("op"), **{**fixed, **times, "action": Action.SOFTREBOOT, **more})  # type: ignore[arg-type]


def test_end_of_an_operation_is_counted_by_action_and_state() -> None:
    """With how long it took from the request on; a dry run, and a step that is no end, do not count."""
    failed = ("summit_operations_ended_total", frozenset({("action", "softreboot"), ("state", "failed")}))
    took = ("summit_operation_duration_seconds_sum", frozenset({("action", "softreboot")}))
    before = samples()
    count_end(operation(state=OperationState.FAILED))
    count_end(operation(state=OperationState.FAILED, dry_run=True))
    count_end(operation(state=OperationState.CANCELING, ended_at=None))
    after = samples()
    assert after[failed] - before[failed] == 1
    assert after[took] - before[took] == pytest.approx(7)  # a sum of floats that other tests have added to


def test_operations_that_have_not_ended_are_counted_by_state() -> None:
    """A state that none is in has 0, or an alert on it would never end."""
    count_operations({OperationState.PENDING: 2})
    count_operations({OperationState.RUNNING: 1})
    found = {dict(labels)["state"]: value for (series, labels), value in samples().items()
             if series == "summit_operations"}  # fmt: skip
    assert found == {"pending": 0, "running": 1, "canceling": 0}


def test_causes_of_resets_are_there_before_the_first() -> None:
    """The api has a series for each cause, with 0."""
    found = samples()
    assert found["summit_feed_clients", frozenset()] >= 0
    assert {dict(labels)["reason"] for series, labels in found if series == "summit_feed_resets_total"} == set(Cause)
