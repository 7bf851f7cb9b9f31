"""The events of one cluster: list-watch events go in, and what readers do not know yet comes out as events."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from support.builders import data_volume, instancetype, uid_of, vm, vmi, vmim

from summit_models.contract import ClusterName, DatacenterId, Uid
from summit_models.event import MigrationEvent, MigrationEventType, VmEvent, VmEventType
from summit_models.subject import subject_of
from summit_models.vm import VmStatus
from summit_runtime.nats.streams.consumer import StreamMessage
from summit_watcher.inventory.diff import Diff, Outgoing
from summit_watcher.inventory.kinds import VM_KIND
from summit_watcher.inventory.lost_addresses import LostAddresses
from summit_watcher.inventory.published import Published
from summit_watcher.inventory.stuck_migrations import StuckMigrations
from summit_watcher.kube.resources import (
    CLUSTER_INSTANCETYPES,
    DATA_VOLUMES,
    MIGRATIONS,
    VIRTUAL_MACHINE_INSTANCES,
    VIRTUAL_MACHINES,
    WATCHED,
    Resource,
)
from summit_watcher.listwatch.events import Apply, Delete, Init, InitApply, InitDone
from summit_watcher.log.recovery import take_in

NOW = datetime(2026, 11, 23, tzinfo=UTC)
PARTS_OF_A_VM = (*VM_KIND.resources[1:], *VM_KIND.joined_with)


class Cluster:
    """A cluster cache and a diff whose events are collected."""

    def __init__(self, published: Published | None = None) -> None:
        self.now = NOW
        self.published = published or Published(DatacenterId("dc-solna"), ClusterName("vulcan"))
        self.diff = Diff(self.published, LostAddresses(10.0), StuckMigrations(600), clock=lambda: self.now)

    def relist(self, resource: Resource[Any], *manifests: dict[str, Any], version: int = 100) -> None:
        applied = [InitApply(decoded(resource, m)) for m in manifests]
        self.diff.cache.apply(resource, [Init(), *applied, InitDone(str(version))])

    def list_all(self, **manifests: Sequence[dict[str, Any]]) -> list[VmEvent | MigrationEvent]:
        for resource in WATCHED:
            self.relist(resource, *manifests.get(resource.plural, ()))
        return self.events()

    def apply(self, resource: Resource[Any], manifest: dict[str, Any]) -> list[VmEvent | MigrationEvent]:
        self.diff.cache.apply(resource, [Apply(decoded(resource, manifest))])
        return self.events()

    def delete(self, resource: Resource[Any], manifest: dict[str, Any]) -> list[VmEvent | MigrationEvent]:
        self.diff.cache.apply(resource, [Delete(decoded(resource, manifest))])
        return self.events()

    def burst(self, resource: Resource[Any], *received: Apply | Delete) -> list[VmEvent | MigrationEvent]:
        """Give these events in one batch, and return what follows."""
        return [read(event) for event in self.diff.follow(resource, received) if event]

    def events(self) -> list[VmEvent | MigrationEvent]:
        return [read(event) for event in self.diff.take_events() if event]

    def restarted(self, events: Sequence[VmEvent | MigrationEvent]) -> "Cluster":
        """A watcher that starts and reads these events back from the stream."""
        published = Published(self.published.datacenter, self.published.cluster)
        for sequence, event in enumerate(events, start=1):
            take_in(published, StreamMessage(sequence, subject_of(event), event.model_dump_json().encode(), 0))
        return Cluster(published)


def read(event: Outgoing) -> VmEvent | MigrationEvent:
    """The event as a consumer reads it; its subject, id and type agree with its content."""
    model = VmEvent if event.subject.startswith("summit.vms.") else MigrationEvent
    document = model.model_validate_json(event.body)
    assert (event.subject, event.id, event.type) == (subject_of(document), document.id, document.type)
    return document


def decoded(resource: Resource[Any], manifest: dict[str, Any]) -> Any:
    line = msgspec.json.encode({"type": "ADDED", "object": manifest}) + b"\n"
    return resource.decode_event(line).object


def only(events: Sequence[Any]) -> Any:
    (event,) = events
    return event


def test_nothing_is_published_before_the_first_lists_are_complete() -> None:
    """A VM whose instance has not been listed yet would look like one without a node."""
    cluster = Cluster()
    cluster.relist(VIRTUAL_MACHINES, vm("web"))
    assert cluster.events() == []
    for resource in PARTS_OF_A_VM:
        cluster.relist(resource, *([vmi("web")] if resource is VIRTUAL_MACHINE_INSTANCES else []))
    event = only(cluster.events())
    assert event.type is VmEventType.CREATED
    assert (event.data.node_name, event.data.ip, event.data.cpu) == ("node-1", "10.0.0.7", 2)


def test_a_resource_that_cannot_be_read_holds_back_no_vm() -> None:
    """Forbidden instances cost their values, not the whole cluster."""
    cluster = Cluster()
    cluster.relist(VIRTUAL_MACHINES, vm("web"))
    for resource in PARTS_OF_A_VM:
        cluster.diff.cache.store_of(resource).unavailable = True
    event = only(cluster.events())
    assert event.data.status is VmStatus.RUNNING
    assert event.data.node_name is None


def test_an_event_carries_the_whole_state_and_what_changed() -> None:
    """A consumer that reads only the newest event knows everything."""
    cluster = Cluster()
    cluster.list_all(virtualmachines=[vm("web")], virtualmachineinstances=[vmi("web")])
    event = only(cluster.apply(VIRTUAL_MACHINE_INSTANCES, vmi("web", node="node-2", version=7)))
    assert event.type is VmEventType.UPDATED
    assert event.data.node_name == "node-2"
    assert event.data.changes == {"nodeName": "node-1"}
    assert (event.data.resource_versions.vm, event.data.resource_versions.vmi) == (1, 7)
    assert event.source == "/datacenters/dc-solna/clusters/vulcan"


def test_a_change_of_nothing_that_is_published_makes_no_event() -> None:
    """Heartbeats and other people's annotations are not published."""
    cluster = Cluster()
    cluster.list_all(virtualmachines=[vm("web")])
    assert cluster.apply(VIRTUAL_MACHINES, vm("web", version=9, annotations={"x": "y"})) == []


def test_an_instance_may_come_before_its_vm() -> None:
    """The two watches are not ordered: an owned instance waits for its VM."""
    cluster = Cluster()
    cluster.list_all()
    assert cluster.apply(VIRTUAL_MACHINE_INSTANCES, vmi("web")) == []
    assert only(cluster.apply(VIRTUAL_MACHINES, vm("web"))).data.node_name == "node-1"


def test_an_instance_that_no_vm_owns_is_a_vm_of_its_own() -> None:
    """When it ends, a delete is published."""
    cluster = Cluster()
    created = only(cluster.list_all(virtualmachineinstances=[vmi("alone", owner=None)]))
    assert created.data.kind == "VirtualMachineInstance"
    deleted = only(cluster.delete(VIRTUAL_MACHINE_INSTANCES, vmi("alone", owner=None, version=5)))
    assert deleted.type is VmEventType.DELETED


def test_an_edited_instancetype_that_changes_no_vm_leaves_others_their_turn() -> None:
    """10 000 VMs of one instancetype are looked at, none has an event, and the reader sees each of them."""
    cluster = Cluster()
    running = [vm(name, instancetype="u1.large") for name in ("a", "b", "c")]
    cluster.list_all(
        virtualmachines=running,
        virtualmachineinstances=[vmi(name) for name in ("a", "b", "c")],
        virtualmachineclusterinstancetypes=[instancetype("u1.large", cpu=2)],
    )
    edited = decoded(CLUSTER_INSTANCETYPES, instancetype("u1.large", cpu=2, version=2))
    assert list(cluster.diff.follow(CLUSTER_INSTANCETYPES, [Apply(edited)])) == [None, None, None]


def test_an_edited_instancetype_changes_the_stopped_vms_that_name_it() -> None:
    """No VM has a new resourceVersion then, so the id of the event must differ all the same."""
    cluster = Cluster()
    first = only(
        cluster.list_all(
            virtualmachines=[vm("web", status="Stopped", instancetype="u1.large")],
            virtualmachineclusterinstancetypes=[instancetype("u1.large", cpu=2)],
        )
    )
    second = only(cluster.apply(CLUSTER_INSTANCETYPES, instancetype("u1.large", cpu=4, version=2)))
    assert (first.data.cpu, second.data.cpu) == (2, 4)
    assert first.id.rpartition("/")[0] != second.id.rpartition("/")[0]


def test_an_import_is_published_once_for_each_ten_percent() -> None:
    """CDI writes a hundred versions; readers receive eleven, and one when the VM goes on."""
    cluster = Cluster()
    created = only(
        cluster.list_all(
            virtualmachines=[vm("web", status="Provisioning", volumes=["web-root"])],
            datavolumes=[data_volume("web-root")],
        )
    )
    assert created.data.provisioning_progress is None
    events = []
    for version in range(101):
        importing = data_volume("web-root", progress=f"{version}.00%", version=version + 2)
        events += cluster.apply(DATA_VOLUMES, importing)
    assert [event.data.provisioning_progress for event in events] == [*range(0, 101, 10)]
    assert {event.type for event in events} == {VmEventType.UPDATED}
    assert events[1].data.changes == {"provisioningProgress": 0}
    ended = only(cluster.apply(DATA_VOLUMES, data_volume("web-root", phase="Succeeded", version=200)))
    assert (ended.data.provisioning_progress, ended.data.changes) == (None, {"provisioningProgress": 100})
    started = only(cluster.apply(VIRTUAL_MACHINES, vm("web", status="Starting", version=9)))
    assert (started.data.status, started.data.provisioning_progress) == (VmStatus.STARTING, None)
    assert cluster.apply(DATA_VOLUMES, data_volume("web-root", progress="50%", version=201)) == []


def test_a_datavolume_that_other_vms_name_changes_only_those_that_wait() -> None:
    """A DataVolume may come before its VM, be shared, and go; a name belongs to one namespace."""
    cluster = Cluster()
    cluster.list_all(datavolumes=[data_volume("golden", progress="25%")])
    provisioning = [vm(name, status="Provisioning", volumes=["golden"]) for name in ("a", "b")]
    others = [
        vm("running", volumes=["golden"]),
        vm("far", status="Provisioning", volumes=["golden"], namespace="dev"),
    ]
    for manifest in (*provisioning, *others):
        cluster.apply(VIRTUAL_MACHINES, manifest)
    shown = {uid: json.loads(state.state)["provisioningProgress"] for uid, state in cluster.published.of("vms").items()}
    waiting = [manifest["metadata"]["uid"] for manifest in provisioning]
    assert {uid: progress for uid, progress in shown.items() if progress is not None} == dict.fromkeys(waiting, 20)
    events = cluster.delete(DATA_VOLUMES, data_volume("golden", progress="25%", version=2))
    assert sorted(event.data.id for event in events) == sorted(waiting)
    cluster.delete(VIRTUAL_MACHINES, provisioning[0])
    assert only(cluster.apply(DATA_VOLUMES, data_volume("golden", progress="40%", version=3))).data.name == "b"


def test_a_vm_is_published_without_its_progress_where_there_is_no_cdi() -> None:
    """404 or 403: nothing else of it is missing."""
    cluster = Cluster()
    for resource in WATCHED:
        if resource is not DATA_VOLUMES:
            manifests = [vm("web", status="Provisioning", volumes=["web-root"])] if resource is VIRTUAL_MACHINES else []
            cluster.relist(resource, *manifests)
    assert cluster.events() == []
    cluster.diff.cache.store_of(DATA_VOLUMES).unavailable = True
    event = only(cluster.events())
    assert (event.data.status, event.data.provisioning_progress) == (VmStatus.PROVISIONING, None)


def test_a_stopped_vm_is_newer_than_the_running_one() -> None:
    """The event keeps the resourceVersion at which the instance was deleted."""
    cluster = Cluster()
    cluster.list_all(virtualmachines=[vm("web")], virtualmachineinstances=[vmi("web", version=50)])
    event = only(cluster.delete(VIRTUAL_MACHINE_INSTANCES, vmi("web", version=60)))
    assert event.data.node_name is None
    assert event.data.resource_versions.vmi == 60


def test_a_watched_delete_carries_the_last_state() -> None:
    """It also has the resourceVersion of the delete, so that no late update can undo it."""
    cluster = Cluster()
    cluster.list_all(virtualmachines=[vm("web")])
    event = only(cluster.delete(VIRTUAL_MACHINES, vm("web", version=12)))
    assert event.type is VmEventType.DELETED
    assert (event.data.name, event.data.cpu) == ("web", 2)
    assert event.data.resource_versions.vm == 12
    assert not event.data.final_state_unknown


def test_the_next_list_finds_a_delete_that_no_watch_reported() -> None:
    """The event is marked: the last state may have been another."""
    cluster = Cluster()
    cluster.list_all(virtualmachines=[vm("web"), vm("db")])
    cluster.relist(VIRTUAL_MACHINES, vm("db"), version=200)
    event = only(cluster.events())
    assert (event.data.name, event.type) == ("web", VmEventType.DELETED)
    assert event.data.final_state_unknown
    assert event.data.resource_versions.vm == 200


@pytest.mark.parametrize("end", [Init(), InitDone("200", undecodable=1)], ids=["breaks off", "has unreadable objects"])
def test_a_list_that_is_not_complete_deletes_nothing(end: Init | InitDone) -> None:
    """The missing object may be in the part that is missing."""
    cluster = Cluster()
    cluster.list_all(virtualmachines=[vm("web"), vm("db")])
    web = decoded(VIRTUAL_MACHINES, vm("web"))
    cluster.diff.cache.apply(VIRTUAL_MACHINES, [Init(), InitApply(web), end])
    assert cluster.events() == []


@pytest.mark.parametrize("resource", [VIRTUAL_MACHINES, VIRTUAL_MACHINE_INSTANCES, MIGRATIONS])
def test_a_first_list_that_leaves_something_out_deletes_nothing_of_the_log(resource: Resource[Any]) -> None:
    """A watcher that starts knows the object only from the log. The next complete list proves what is gone."""
    manifests: dict[str, Sequence[dict[str, Any]]] = {
        VIRTUAL_MACHINES.plural: [vm("web")],
        VIRTUAL_MACHINE_INSTANCES.plural: [vmi("web"), vmi("alone", owner=None)],
        MIGRATIONS.plural: [vmim("m", vmi_name="web")],
    }
    before = Cluster()
    cluster = before.restarted(before.list_all(**manifests))
    cluster.diff.cache.apply(resource, [Init(), InitDone("100", undecodable=1)])
    for other in WATCHED:
        if other is not resource:
            cluster.relist(other, *manifests.get(other.plural, ()))
    assert cluster.events() == []
    cluster.relist(resource, version=200)
    kinds = {
        VIRTUAL_MACHINES.plural: [VmEventType.DELETED],
        VIRTUAL_MACHINE_INSTANCES.plural: [VmEventType.DELETED, VmEventType.UPDATED],
        MIGRATIONS.plural: [MigrationEventType.DELETED],
    }
    assert [event.type for event in cluster.events() if isinstance(event, VmEvent) or resource is MIGRATIONS] == kinds[
        resource.plural
    ]


def test_a_label_makes_no_virtual_machine_of_an_instance() -> None:
    """An instance that no VM owns is not gone because no VirtualMachine has its uid, whatever its labels are."""
    before = Cluster()
    events = before.list_all(virtualmachineinstances=[vmi("alone", owner=None, labels={"kind": "VirtualMachine"})])
    cluster = before.restarted(events)
    cluster.diff.cache.store_of(VIRTUAL_MACHINE_INSTANCES).unavailable = True
    for resource in (VIRTUAL_MACHINES, *VM_KIND.joined_with):
        cluster.relist(resource)
    assert cluster.events() == []


def test_a_name_that_returns_with_another_uid_deletes_the_old_vm_first() -> None:
    """The newest event of the subject must be about the VM that exists."""
    cluster = Cluster()
    cluster.list_all(virtualmachines=[vm("web")])
    ended, created = cluster.apply(VIRTUAL_MACHINES, vm("web", uid=uid_of("new"), version=8))
    assert (ended.data.id, ended.type) == (uid_of("prod", "web"), VmEventType.DELETED)
    assert (created.data.id, created.type) == (uid_of("new"), VmEventType.CREATED)
    assert cluster.delete(VIRTUAL_MACHINES, vm("web", version=7)) == []


def test_a_restart_with_nothing_changed_makes_no_event() -> None:
    """The stream remembers what was published."""
    cluster = Cluster()
    manifests = {
        "virtualmachines": [vm("web"), vm("db", status="Stopped")],
        "virtualmachineinstances": [vmi("web"), vmi("alone", owner=None)],
        "virtualmachineinstancemigrations": [vmim("m", vmi_name="web")],
    }
    events = cluster.list_all(**manifests)
    assert len(events) == 4
    assert cluster.restarted(events).list_all(**manifests) == []


def test_changes_during_a_restart_are_found() -> None:
    """Deleted, changed, deleted and created again, created: each is published once."""
    cluster = Cluster()
    events = cluster.list_all(virtualmachines=[vm("gone"), vm("changed"), vm("again")])
    after = cluster.restarted(events).list_all(
        virtualmachines=[
            vm("changed", cores=8, version=50),
            vm("again", uid=uid_of("again-2"), version=51),
            vm("new", version=52),
        ]
    )
    events = sorted((e.data.name, e.type.value.rpartition(".")[2]) for e in after)
    assert events == [
        ("again", "created"), ("again", "deleted"), ("changed", "updated"), ("gone", "deleted"), ("new", "created"),
    ]  # fmt: skip
    assert all(e.data.final_state_unknown for e in after if isinstance(e, VmEvent) and e.type is VmEventType.DELETED)


def test_no_two_events_have_the_same_id() -> None:
    """NATS drops an event if it has stored one with its id in the last minute, whatever the content is."""
    cluster = Cluster()
    events = cluster.list_all(virtualmachines=[vm("web")])
    for _ in range(2):
        cluster.now += timedelta(seconds=2)
        events += [read(event) for event in cluster.diff.observed(timedelta(seconds=1))]
    assert len({event.id for event in events}) == len(events) == 3


def test_a_migration_keeps_its_vm_when_the_name_returns() -> None:
    """Another VM of the same name had no part in it."""
    cluster = Cluster()
    first = vm("web", uid="uid-of-the-first")
    cluster.list_all(virtualmachines=[first], virtualmachineinstancemigrations=[vmim("web-move", vmi_name="web")])
    cluster.delete(VIRTUAL_MACHINES, first)
    cluster.apply(VIRTUAL_MACHINES, vm("web", uid="uid-of-the-second", version=5))
    moved = cluster.apply(MIGRATIONS, vmim("web-move", vmi_name="web", phase="Succeeded", version=6))
    assert [event.data.vm_id for event in moved if isinstance(event, MigrationEvent)] == ["uid-of-the-first"]


def test_the_same_state_under_another_epoch_is_another_event() -> None:
    """Otherwise NATS would drop it as a duplicate, for example when a VM returns within a minute of an etcd restore."""
    clusters = [Cluster(Published(DatacenterId("dc-solna"), ClusterName("vulcan"), epoch=epoch)) for epoch in (1, 2)]
    first, second = (only(cluster.list_all(virtualmachines=[vm("web")])) for cluster in clusters)
    assert (first.epoch, second.epoch) == (1, 2)
    assert first.id != second.id


def test_resource_versions_of_an_ended_history_are_dropped() -> None:
    """They would make an instance look older than the one before it, and the server look as if it had gone back."""
    cluster = Cluster()
    events = cluster.list_all(
        virtualmachines=[vm("web", version=900)], virtualmachineinstances=[vmi("web", version=800)]
    )
    published = Published(DatacenterId("dc-solna"), ClusterName("vulcan"), epoch=2, history=2)
    take_in(published, StreamMessage(1, subject_of(events[0]), events[0].model_dump_json().encode(), 0))
    after = Cluster(published).list_all(
        virtualmachines=[vm("web", version=300)], virtualmachineinstances=[vmi("web", version=310, node="node-2")]
    )
    versions = only(after).data.resource_versions
    assert (only(after).type, versions.vm, versions.vmi) == (VmEventType.UPDATED, 300, 310)
    assert set(published.reached.values()) == {0}


def test_the_log_shows_how_far_each_resource_was_read() -> None:
    """All its events show it, also deletes and those of instances that no VM owns."""
    cluster = Cluster()
    events = cluster.list_all(
        virtualmachines=[vm("web", version=5), vm("db", version=7)],
        virtualmachineinstances=[vmi("web", version=40), vmi("alone", owner=None, version=41)],
        virtualmachineinstancemigrations=[vmim("m", vmi_name="web", version=60)],
    )
    events += cluster.delete(VIRTUAL_MACHINES, vm("db", version=9))
    events += cluster.delete(VIRTUAL_MACHINE_INSTANCES, vmi("alone", owner=None, version=44))
    reached = cluster.restarted(events).published.reached
    assert reached == {VIRTUAL_MACHINES.plural: 9, VIRTUAL_MACHINE_INSTANCES.plural: 44, MIGRATIONS.plural: 60}


def test_a_migration_takes_its_nodes_from_the_instance_and_keeps_them() -> None:
    """The migration object has no nodes while it runs, and the instance drops them when it stops."""
    cluster = Cluster()
    migrating = vmi("web", version=20)
    migration = vmim("m", vmi_name="web")
    state = {
        "migrationUid": migration["metadata"]["uid"],
        "sourceNode": "node-1",
        "targetNode": "node-2",
        "startTimestamp": "2026-11-23T00:00:00Z",
    }
    migrating["status"]["migrationState"] = state
    created = cluster.list_all(
        virtualmachines=[vm("web")],
        virtualmachineinstances=[migrating],
        virtualmachineinstancemigrations=[migration],
    )
    (first,) = (e for e in created if isinstance(e, MigrationEvent))
    assert (first.data.source_node, first.data.target_node, first.data.vm_id) == (
        "node-1",
        "node-2",
        uid_of("prod", "web"),
    )
    cluster.delete(VIRTUAL_MACHINE_INSTANCES, vmi("web", version=30))
    (last,) = (e for e in cluster.delete(MIGRATIONS, vmim("m", vmi_name="web", version=31)))
    assert last.type is MigrationEventType.DELETED
    assert (last.data.source_node, last.data.phase, last.data.completed) == ("node-1", "Aborted", True)


def test_a_stopped_vm_keeps_the_disk_size_that_was_seen_while_it_ran() -> None:
    """Only the instance has the size of a claim, and a restart of the watcher must not lose it."""
    claim = {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "c"}}]}
    machine = vm("web")
    machine["spec"]["template"]["spec"] |= claim
    instance = vmi("web")
    instance["spec"] |= claim
    size = {"claimName": "c", "capacity": {"storage": "10Gi"}, "requests": {"storage": "10Gi"}}
    instance["status"]["volumeStatus"] = [{"name": "data", "persistentVolumeClaimInfo": size}]
    cluster = Cluster()
    events = cluster.list_all(virtualmachines=[machine], virtualmachineinstances=[instance])
    assert only(events).data.disk == 10
    after = cluster.restarted(events).list_all(virtualmachines=[machine])
    assert only(after).data.disk == 10
    assert not any("disk" in problem for problem in only(after).data.problems)


def test_an_unchanged_vm_is_repeated_before_it_ages_out_of_the_log() -> None:
    """An `observed` event repeats the state under a new id."""
    cluster = Cluster()
    created = only(cluster.list_all(virtualmachines=[vm("web")]))
    assert list(cluster.diff.observed(timedelta(days=30))) == []
    cluster.now += timedelta(days=31)
    repeated = read(only(list(cluster.diff.observed(timedelta(days=30)))))
    assert repeated.type is VmEventType.OBSERVED
    assert repeated.id != created.id
    assert list(cluster.diff.observed(timedelta(days=30))) == []


def test_a_migration_under_way_is_repeated_and_one_that_has_ended_is_not() -> None:
    """A migration that has ended does not change any more."""
    cluster = Cluster()
    under_way, ended = vmim("m", vmi_name="web"), vmim("n", vmi_name="db", phase="Succeeded")
    cluster.list_all(virtualmachineinstancemigrations=[under_way, ended])
    cluster.now += timedelta(days=31)
    repeated = read(only(list(cluster.diff.observed(timedelta(days=30)))))
    assert (repeated.type, repeated.data.name) == (MigrationEventType.OBSERVED, "m")
    assert list(cluster.diff.observed(timedelta(days=30))) == []


@pytest.mark.parametrize("body", [b"", b"{}", b'{"data": 1}', b"\xff"])
def test_an_unreadable_event_is_not_read_back(body: bytes) -> None:
    """Its VM is published again, which corrects the log."""
    published = Published(DatacenterId("d"), ClusterName("c"))
    take_in(published, StreamMessage(1, "summit.vms.d.c.n.v", body, 0))
    assert published.of("vms") == {}


def test_an_event_is_readable_json_with_the_names_of_the_original_api() -> None:
    """People read it with `nats sub`."""
    cluster = Cluster()
    event = only(cluster.list_all(virtualmachines=[vm("web")]))
    document = json.loads(event.model_dump_json())
    assert document["specversion"] == "1.0"
    assert document["data"]["printableStatus"] == "Running"
    assert document["data"]["memory"] == 4096
    assert subject_of(event) == "summit.vms.dc-solna.vulcan.prod.web"
    assert Uid(document["data"]["id"]) == uid_of("prod", "web")


def test_each_step_of_a_burst_is_published() -> None:
    """A VM that lived for a moment was created and deleted. A delete carries the last state there was."""
    cluster = Cluster()
    cluster.list_all(virtualmachines=[vm("web")])
    short = [decoded(VIRTUAL_MACHINES, vm("short", version=version)) for version in (5, 6)]
    grown = decoded(VIRTUAL_MACHINES, vm("web", cores=8, version=7))
    gone = decoded(VIRTUAL_MACHINES, vm("web", cores=8, version=8))
    events = cluster.burst(VIRTUAL_MACHINES, Apply(short[0]), Delete(short[1]), Apply(grown), Delete(gone))
    assert [(e.data.name, e.type.value.rpartition(".")[2], e.data.cpu) for e in events if isinstance(e, VmEvent)] == [
        ("short", "created", 2),
        ("short", "deleted", 2),
        ("web", "updated", 8),
        ("web", "deleted", 8),
    ]


def test_a_migration_that_succeeds_and_is_deleted_in_one_burst_has_succeeded() -> None:
    """KubeVirt deletes the object with its instance."""
    cluster = Cluster()
    cluster.list_all(virtualmachines=[vm("web")], virtualmachineinstancemigrations=[vmim("m", vmi_name="web")])
    done = decoded(MIGRATIONS, vmim("m", vmi_name="web", phase="Succeeded", version=5))
    gone = decoded(MIGRATIONS, vmim("m", vmi_name="web", phase="Succeeded", version=6))
    events = cluster.burst(MIGRATIONS, Apply(done), Delete(gone))
    assert [e.data.phase for e in events if isinstance(e, MigrationEvent)] == ["Succeeded", "Succeeded"]


def test_the_end_of_a_migration_that_is_found_missing_is_unknown() -> None:
    """It may have succeeded and been removed by KubeVirt, which keeps five."""
    cluster = Cluster()
    manifests = {"virtualmachines": [vm("web")], "virtualmachineinstancemigrations": [vmim("m", vmi_name="web")]}
    after = cluster.restarted(cluster.list_all(**manifests))
    event = only(after.list_all(virtualmachines=[vm("web")]))
    assert (event.data.phase, event.data.completed) == ("Unknown", True)
    assert "before its end was seen" in event.data.failure_reason


def test_a_standalone_instance_that_a_vm_adopts_is_no_vm_of_its_own_any_more() -> None:
    """One machine is one VM."""
    cluster = Cluster()
    cluster.list_all(virtualmachineinstances=[vmi("web", owner=None)])
    cluster.apply(VIRTUAL_MACHINES, vm("web", version=5))
    events = cluster.apply(VIRTUAL_MACHINE_INSTANCES, vmi("web", version=6))
    assert sorted((e.data.kind, e.type.value.rpartition(".")[2]) for e in events if isinstance(e, VmEvent)) == [
        ("VirtualMachine", "updated"),
        ("VirtualMachineInstance", "deleted"),
    ]


def test_the_time_of_the_last_migration_outlives_the_instance() -> None:
    """A VM keeps the time of its last migration when it is restarted."""
    migrated = vmi("web", version=20)
    migrated["status"]["migrationState"] = {
        "migrationUid": "x",
        "completed": True,
        "startTimestamp": "2026-11-22T00:00:00Z",
        "endTimestamp": "2026-11-22T00:01:00Z",
    }
    cluster = Cluster()
    first = only(cluster.list_all(virtualmachines=[vm("web")], virtualmachineinstances=[migrated]))
    stopped = only(cluster.delete(VIRTUAL_MACHINE_INSTANCES, vmi("web", version=30)))
    assert stopped.data.last_migrated_at == first.data.last_migrated_at == datetime(2026, 11, 22, 0, 1, tzinfo=UTC)


def test_a_resource_that_fails_later_holds_back_no_vm() -> None:
    """Once the first lists are complete, they stay so."""
    cluster = Cluster()
    for resource in (VIRTUAL_MACHINES, VIRTUAL_MACHINE_INSTANCES):
        cluster.relist(resource)
    for resource in VM_KIND.joined_with:
        cluster.diff.cache.store_of(resource).unavailable = True
    assert cluster.events() == []
    cluster.diff.cache.store_of(VM_KIND.joined_with[0]).unavailable = False
    assert len(cluster.apply(VIRTUAL_MACHINES, vm("web"))) == 1


def modified(by: str | None, *, generation: int, version: int, **more: Any) -> dict[str, Any]:
    """The VM web, whose spec somebody has changed."""
    manifest = vm("web", version=version, **more)
    annotations = {"kubevirt.io/last-modified-by": by} if by else {}
    return manifest | {"metadata": manifest["metadata"] | {"generation": generation, "annotations": annotations}}


def test_who_changed_a_vm_is_named_where_the_cluster_names_it() -> None:
    """By the annotation, in the event of the change of the spec and in no other: it stays on the object."""
    cluster = Cluster()
    (created,) = cluster.list_all(virtualmachines=[modified("alice", generation=1, version=10)])
    labels = [{"labels": {"n": str(number)}} for number in range(4)]
    edited = cluster.apply(VIRTUAL_MACHINES, modified("bob", generation=2, version=11, **labels[0]))
    moved = cluster.apply(VIRTUAL_MACHINES, modified("bob", generation=2, version=12, **labels[1]))
    unnamed = cluster.apply(VIRTUAL_MACHINES, modified(None, generation=3, version=13, **labels[2]))
    assert [only(events).data.by for events in ([created], edited, moved, unnamed)] == [None, "bob", None, None]
