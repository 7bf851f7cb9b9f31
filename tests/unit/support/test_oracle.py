"""The oracle accepts a consistent log, finds each inconsistency, and knows the state of a fleet."""

import pytest
from support.builders import uid_of
from support.oracle import compare, differing, expected_vms, replay
from support.published import CLUSTER, messages, vm_event

from summit_models.event import VmEvent, VmEventType
from summit_simulator.cluster import SimulatedCluster
from summit_simulator.fleet.seed import seed_fleet

WEB = uid_of("prod", "web")
SOURCE = f"/datacenters/dc-solna/clusters/{CLUSTER}"

created = vm_event("web", VmEventType.CREATED)
grown = vm_event("web", versions=(2, 0), cpu=4, changes={"cpu": None})
moved = vm_event("web", versions=(2, 7), cpu=4, node_name="worker-2", changes={"nodeName": None})
gone = vm_event("web", VmEventType.DELETED, versions=(3, 7), cpu=4, node_name="worker-2")


def test_a_consistent_log_has_no_violation() -> None:
    """VMs are created, changed and deleted, and the rest is alive."""
    other = vm_event("mail", VmEventType.CREATED)
    result = replay(messages(created, grown, other, moved, gone))
    assert (result.violations, result.returned, result.ignored) == ([], [], 0)
    assert list(result.living) == [uid_of("prod", "mail")]
    assert list(result.ended) == [WEB]


@pytest.mark.parametrize(
    ("events", "finding"),
    [
        ([grown], "it does not exist"),
        ([created, created], "it exists since revision 1"),
        ([created, grown, grown], "nothing has changed"),
        ([created, moved, grown], "its resourceVersions fall from (2, 7) to (2, 0)"),
        ([created, moved], "its changes are from {'nodeName': None}, but the state before it has"),
        ([created, grown, moved, gone, gone], "it does not exist"),
        ([created, grown, moved, gone, moved], "it does not exist"),
    ],
)
def test_an_inconsistent_log_is_found(events: list[VmEvent], finding: str) -> None:
    """Events may be lost, repeated, reordered, or come after the end."""
    assert any(finding in violation for violation in replay(messages(*events)).violations)


def test_a_vm_that_returns_is_listed_apart() -> None:
    """It is right after a restored etcd, and the trace of a false delete otherwise."""
    result = replay(messages(created, vm_event("web", VmEventType.DELETED, versions=(2, 0)), created))
    assert result.violations == []
    assert "created at revision 3" in result.returned[0]


def test_an_end_may_be_repeated_after_an_event_that_does_not_count() -> None:
    """Or the last event of its subject would be the one of a watcher that woke up after another had taken over."""
    begun = vm_event("web", VmEventType.CREATED, epoch=2)
    end = vm_event("web", VmEventType.DELETED, versions=(2, 0), epoch=2)
    zombie = vm_event("web", versions=(2, 0), epoch=1)
    again = vm_event("web", VmEventType.DELETED, versions=(2, 0), epoch=3)
    assert replay(messages(begun, end, zombie, again)).violations == []
    assert replay(messages(begun, end, again)).violations


def test_a_vm_that_only_a_stale_epoch_showed_may_be_ended() -> None:
    """It came and went while its watcher was replaced, so no reader has it; another such end would be one too many."""
    mail = vm_event("mail", VmEventType.CREATED, epoch=3)
    begun = vm_event("web", VmEventType.CREATED, epoch=2)
    end = vm_event("web", VmEventType.DELETED, versions=(2, 0), epoch=2)
    repair = vm_event("web", VmEventType.DELETED, versions=(2, 0), epoch=4)
    assert replay(messages(mail, begun, end, repair)).violations == []
    assert replay(messages(mail, begun, end, repair, repair)).violations
    assert replay(messages(mail, repair)).violations


def test_events_of_an_older_epoch_do_not_count() -> None:
    """Their watcher has lost its cluster to another one."""
    again = vm_event("web", versions=(1, 7), epoch=2, node_name="worker-2", changes={"nodeName": None})
    result = replay(messages(vm_event("web", VmEventType.CREATED, epoch=1), again, vm_event("web", epoch=1)))
    assert (result.violations, result.ignored) == ([], 1)


def test_the_state_of_a_fleet_is_every_vm_and_every_instance_without_a_vm() -> None:
    """Values of a running VM come from its instance."""
    cluster = SimulatedCluster(CLUSTER, tls=False)
    seed_fleet(cluster, vms=100)
    truth = cluster.truth()
    expected = expected_vms(truth, cluster=CLUSTER, datacenter="dc-solna")
    alone = {uid for uid, vmi in truth["virtualmachineinstances"].items() if not vmi["metadata"].get("ownerReferences")}
    assert alone
    assert expected.keys() == truth["virtualmachines"].keys() | alone
    nodes = {
        vmi["metadata"]["name"]: vmi["status"].get("nodeName") for vmi in truth["virtualmachineinstances"].values()
    }
    assert all(vm["nodeName"] == nodes[vm["name"]] for vm in expected.values() if vm["nodeName"])


def test_a_missing_an_additional_and_a_different_vm_are_each_named() -> None:
    """The sentence has both values."""
    truth = {uid_of("prod", "mail"): {"name": "mail", "cpu": 1}, WEB: {"name": "web", "cpu": 8, "disk": 3}}
    living = replay(messages(created, vm_event("dns", VmEventType.CREATED))).living
    sentences = sorted(compare(truth, living, source=SOURCE))
    assert [sentence.partition(" in ")[0] for sentence in sentences] == [
        f"mail ({uid_of('prod', 'mail')})",
        f"prod/dns ({uid_of('prod', 'dns')})",
        f"web ({WEB})",
    ]
    assert "{'cpu': (8, None)}" in sentences[2]
    assert differing({"disk": 1}, {"disk": 2}) == {}
