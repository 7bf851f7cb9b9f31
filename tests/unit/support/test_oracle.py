"""The oracle: it accepts a true story, finds each way in which one can be false, and knows the truth of a fleet."""

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


def test_a_true_story_has_no_violation() -> None:
    """Created, changed, deleted; and what is left is what is alive."""
    other = vm_event("mail", VmEventType.CREATED)
    story = replay(messages(created, grown, other, moved, gone))
    assert (story.violations, story.returned, story.fenced) == ([], [], 0)
    assert list(story.living) == [uid_of("prod", "mail")]
    assert list(story.ended) == [WEB]


@pytest.mark.parametrize(
    ("events", "complaint"),
    [
        ([grown], "it does not exist"),
        ([created, created], "it exists since revision 1"),
        ([created, grown, grown], "nothing has changed"),
        ([created, moved, grown], "its resourceVersions fall from (2, 7) to (2, 0)"),
        ([created, moved], "its changes are from {'nodeName': None}, but the state before it says"),
        ([created, grown, moved, gone, gone], "it does not exist"),
        ([created, grown, moved, gone, moved], "it does not exist"),
    ],
)
def test_a_false_story_is_found(events: list[VmEvent], complaint: str) -> None:
    """Lost, doubled and reordered events, and any after the end."""
    assert any(complaint in violation for violation in replay(messages(*events)).violations)


def test_a_life_after_death_is_told_apart() -> None:
    """It is right after a restored etcd, and the trace of a false delete everywhere else."""
    story = replay(messages(created, vm_event("web", VmEventType.DELETED, versions=(2, 0)), created))
    assert story.violations == []
    assert "created at revision 3" in story.returned[0]


def test_events_of_an_older_epoch_are_no_part_of_the_story() -> None:
    """Whoever still publishes under one has lost its cluster to another."""
    again = vm_event("web", versions=(1, 7), epoch=2, node_name="worker-2", changes={"nodeName": None})
    story = replay(messages(vm_event("web", VmEventType.CREATED, epoch=1), again, vm_event("web", epoch=1)))
    assert (story.violations, story.fenced) == ([], 1)


def test_the_truth_of_a_fleet_is_every_vm_and_every_instance_that_stands_alone() -> None:
    """With the values of the instance that shows the VM."""
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


def test_a_missing_a_false_and_a_wrong_vm_are_each_named() -> None:
    """With both sides of what differs."""
    truth = {uid_of("prod", "mail"): {"name": "mail", "cpu": 1}, WEB: {"name": "web", "cpu": 8, "disk": 3}}
    living = replay(messages(created, vm_event("dns", VmEventType.CREATED))).living
    said = sorted(compare(truth, living, source=SOURCE))
    assert [sentence.partition(" in ")[0] for sentence in said] == [
        f"mail ({uid_of('prod', 'mail')})",
        f"prod/dns ({uid_of('prod', 'dns')})",
        f"web ({WEB})",
    ]
    assert "{'cpu': (8, None)}" in said[2]
    assert differing({"disk": 1}, {"disk": 2}) == {}
