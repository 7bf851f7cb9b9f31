"""The log lines about single VMs: what changed, up to ten a minute; the others are counted."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from summit_models.contract import ClusterName, DatacenterId
from summit_models.vm import Vm, VmStatus
from summit_watcher.activity import ActivityLog
from summit_watcher.config.datacenters import ClusterConfig
from summit_watcher.inventory.diff import Outgoing, changed, deleted
from summit_watcher.inventory.kinds import VM_KIND, Joined
from summit_watcher.inventory.published import Published

VULCAN = ClusterConfig(ClusterName("vulcan"), DatacenterId("dc-solna"), Path("vulcan.yaml"))
NOW = datetime(2026, 11, 23, tzinfo=UTC)


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


class Scene:
    """A VM whose events are logged."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.log = ActivityLog(VULCAN, self.clock)
        self.published = Published(VULCAN.datacenter, VULCAN.name)

    def becomes(self, status: VmStatus, **more: object) -> Outgoing:
        place = {"cluster": VULCAN.name, "datacenter": VULCAN.datacenter, "namespace": "prod-finance"}
        vm = Vm.model_validate({"id": "1", "name": "erp-db", "status": status, **place, **more})
        event = changed(self.published, VM_KIND, Joined(vm, (1, 0, 0)), NOW)
        assert event
        return event

    def changes(self, times: int) -> None:
        for number in range(times):
            self.log.log(self.becomes(VmStatus.RUNNING, nodeName=f"worker-{number}"))


@pytest.fixture
def scene(caplog: pytest.LogCaptureFixture) -> Scene:
    caplog.set_level(logging.INFO, "summit.watcher")
    return Scene()


def test_a_line_has_the_namespace_and_what_changed(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """The status comes first; of labels and lists only the name is shown."""
    scene.log.log(scene.becomes(VmStatus.STARTING, labels={"a": "b"}))
    scene.log.log(scene.becomes(VmStatus.RUNNING, labels={"a": "b"}))
    scene.log.log(scene.becomes(VmStatus.STOPPED, ip="10.1.2.3", labels={}))
    gone = deleted(scene.published, VM_KIND, "1", 2, NOW, by_comparison=False)  # type: ignore[arg-type]
    assert gone
    scene.log.log(gone)
    assert caplog.messages == [
        "VM event: Added for VM prod-finance/erp-db in cluster vulcan: status starting",
        "VM event: Modified for VM prod-finance/erp-db in cluster vulcan: status starting → running",
        (
            "VM event: Modified for VM prod-finance/erp-db in cluster vulcan: status running → stopped, "
            "ip none → 10.1.2.3, labels"
        ),
        "VM event: Deleted for VM prod-finance/erp-db in cluster vulcan",
    ]


def test_more_than_ten_changes_a_minute_are_one_line_with_their_number(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """It comes when the minute is over, also if nothing changes then."""
    scene.changes(25)
    assert len(caplog.messages) == 10
    scene.clock.now = 59
    scene.log.summarize()
    assert len(caplog.messages) == 10
    scene.clock.now = 60
    scene.log.summarize()
    scene.log.summarize()
    summary = "cluster vulcan: 15 more changes of VMs within a minute (15 Modified); LOG_LEVEL=DEBUG logs each"
    assert caplog.messages[10:] == [summary]
    scene.changes(1)
    assert "Modified for VM" in caplog.messages[-1]


def test_each_change_is_logged_at_debug(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever looks for one VM in a storm finds it."""
    caplog.set_level(logging.DEBUG, "summit.watcher")
    scene.changes(25)
    assert len(caplog.messages) == 25


def test_the_vms_of_the_first_list_have_no_lines(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """They are the number in the line that the cluster is watched."""
    scene.log.log(scene.becomes(VmStatus.RUNNING), is_first_list=True)
    assert caplog.messages == []
