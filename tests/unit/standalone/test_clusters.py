"""`summit-connect status` shows the clusters first, and those that need somebody before the others."""

from typing import Any

import pytest

from summit_standalone.commands.clusters import are_well, as_text
from summit_standalone.commands.status import is_well


def cluster(name: str, **members: Any) -> dict[str, Any]:
    return {
        "name": name,
        "datacenter": "dc-solna",
        "state": "synced",
        "vms": 12,
        "stale": False,
        "since": "2026-11-29T06:00:00.123456Z",
        "watcher": "watch-1/4711",
        "watchedSince": "2026-11-29T05:00:00.123456Z",
        "reason": None,
    } | members


def test_a_line_has_state_vms_age_and_reason() -> None:
    """And who watches it since when. The clusters that are not well come first, by name."""
    nobody = {"watcher": None, "watchedSince": None}
    away = cluster("vulcan", state="unreachable", stale=True, reason="connection refused by 10.0.0.1:6443", **nobody)
    lines = as_text({"items": [cluster("andoria"), away]}).splitlines()
    header = "CLUSTER DATACENTER STATE VMS STALE SINCE WATCHER WATCHED SINCE REASON"
    assert lines[0].split() == header.split()
    assert lines[1].split(maxsplit=8) == [
        *("vulcan", "dc-solna", "unreachable", "12", "yes", "2026-11-29T06:00:00Z", "<none>", "<none>"),
        "connection refused by 10.0.0.1:6443",
    ]
    assert lines[2].split() == [
        *("andoria", "dc-solna", "synced", "12", "no", "2026-11-29T06:00:00Z"),
        *("watch-1/4711", "2026-11-29T05:00:00Z", "<none>"),
    ]


@pytest.mark.parametrize(
    ("clusters", "well"),
    [
        ({"items": []}, True),
        ({"items": [cluster("a"), cluster("b")]}, True),
        ({"items": [cluster("a"), cluster("b", state="degraded")]}, False),
        ({"items": [cluster("a", stale=True)]}, False),
        ({"error": "the api does not answer"}, False),
    ],
)
def test_one_cluster_that_is_not_well_is_enough(clusters: dict[str, Any], well: bool) -> None:
    """A stopped watcher leaves `synced` behind, and stale VMs; an api that does not answer shows no cluster."""
    assert are_well(clusters) is well


@pytest.mark.parametrize(
    ("state", "well"),
    [
        ({"processes": []}, False),
        ({"processes": [], "clusters": {"items": []}}, True),
        ({"processes": [{"state": "running"}], "clusters": {"items": [cluster("a")]}}, True),
        ({"processes": [{"state": "running"}, {"state": "backoff"}], "clusters": {"items": [cluster("a")]}}, False),
    ],
)
def test_an_instance_is_well_when_its_processes_run(state: dict[str, Any], well: bool) -> None:
    """A watcher that crashes again and again has not necessarily reported a cluster; one that starts has none yet."""
    assert is_well(state) is well
