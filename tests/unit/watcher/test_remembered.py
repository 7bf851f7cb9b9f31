"""What is remembered of an object that does not show it now: a value, together with what it was known of."""

import json
from typing import Any

import msgspec
from support.builders import instancetype, uid_of, vm, vmi
from support.paths import SAMPLES

from summit_models.contract import ClusterName, DatacenterId, Uid
from summit_models.migration import Migration
from summit_models.vm import Vm
from summit_watcher.inventory.diff import Diff
from summit_watcher.inventory.kinds import MIGRATION_KIND, VM_KIND
from summit_watcher.inventory.lost_addresses import LostAddresses
from summit_watcher.inventory.published import MIGRATION_CODEC, VM_CODEC, Published
from summit_watcher.inventory.stuck_migrations import StuckMigrations
from summit_watcher.kube.resources import WATCHED, Resource
from summit_watcher.listwatch.events import Apply, Delete, Init, InitApply, InitDone

Json = dict[str, Any]
BY_KIND: dict[str, Resource[Any]] = {resource.kind: resource for resource in WATCHED}


class Cluster:
    """A cluster, and what a watcher has published of it."""

    def __init__(self, *manifests: Json, published: Published | None = None) -> None:
        self.published = published or Published(DatacenterId("dc-solna"), ClusterName("vulcan"))
        self.now = 0.0
        """Seconds."""
        self.diff = Diff(self.published, LostAddresses(10.0, clock=lambda: self.now), StuckMigrations(600))
        self.version = 100
        for resource in WATCHED:
            listed = [InitApply(self.read(m)) for m in manifests if m["kind"] == resource.kind]
            list(self.diff.follow(resource, [Init(), *listed, InitDone("1")]))

    def read(self, manifest: Json) -> Any:
        self.version += 1
        document = manifest | {"metadata": manifest["metadata"] | {"resourceVersion": str(self.version)}}
        line = msgspec.json.encode({"type": "MODIFIED", "object": document}) + b"\n"
        return BY_KIND[manifest["kind"]].decode_event(line).object

    def put(self, manifest: Json) -> None:
        list(self.diff.follow(BY_KIND[manifest["kind"]], [Apply(self.read(manifest))]))

    def delete(self, manifest: Json) -> None:
        list(self.diff.follow(BY_KIND[manifest["kind"]], [Delete(self.read(manifest))]))

    def passes(self, seconds: float) -> None:
        self.now += seconds
        list(self.diff.take_lost_addresses())

    def restarted(self, *manifests: Json) -> "Cluster":
        """A watcher that starts with what the log has."""
        return Cluster(*manifests, published=self.published)

    def vm(self, uid: str) -> Vm:
        return VM_CODEC.decode(self.published.of(VM_KIND.collection)[Uid(uid)].state)

    def migration(self, uid: str) -> Migration:
        return MIGRATION_CODEC.decode(self.published.of(MIGRATION_KIND.collection)[Uid(uid)].state)


def sample(name: str) -> Any:
    return json.loads((SAMPLES / name).read_text())["steps"]


def test_a_stopped_vm_has_the_sizes_of_the_disks_that_it_has_now() -> None:
    """It showed 120 GiB after one of its disks was detached, and with another disk of 500 GiB."""
    cluster, known = Cluster(), {}
    for step in sample("disk-remembered.json"):
        if "delete" in step:
            cluster.delete(known[step["delete"]])
        for manifest in step["put"]:
            metadata = manifest["metadata"]
            known[f"{manifest['kind']} {metadata['namespace']}/{metadata['name']}"] = manifest
            cluster.put(manifest)
        shown = cluster.vm("11111111-0000-4000-8000-000000000001")
        assert (shown.disk, any(p.startswith("disk:") for p in shown.problems)) == (
            step["disk"],
            step["disk"] is None,
        ), step["reason"]


def claims(manifest: Json, sizes: dict[str, int | None]) -> Json:
    """The object with a volume for each claim; an instance shows the sizes, in GiB, as far as they are known."""
    volumes = [{"name": claim, "persistentVolumeClaim": {"claimName": claim}} for claim in sizes]
    if manifest["kind"] == "VirtualMachine":
        manifest["spec"]["template"]["spec"]["volumes"] = volumes
        return manifest
    manifest["spec"]["volumes"] = volumes
    manifest["status"]["volumeStatus"] = [
        {"name": claim, "persistentVolumeClaimInfo": {"requests": {"storage": f"{size}Gi"}}}
        for claim, size in sizes.items()
        if size is not None
    ]
    return manifest


WEB = uid_of("prod", "web")


def test_a_stopped_vm_does_not_have_what_was_plugged_into_its_instance_only() -> None:
    """Such a volume ends with the instance."""
    cluster = Cluster(claims(vm("web"), {"root": None}), claims(vmi("web"), {"root": 20, "hot": 50}))
    assert cluster.vm(WEB).disk == 70
    cluster.delete(vmi("web"))
    assert cluster.vm(WEB).disk == 20


def test_a_vm_that_starts_again_keeps_its_sizes_until_its_instance_shows_them() -> None:
    """A new instance has no sizes yet; the disk of each VM became unknown for some seconds at each start."""
    cluster = Cluster(claims(vm("web"), {"root": None}), claims(vmi("web"), {"root": 20}))
    cluster.delete(vmi("web"))
    cluster.put(claims(vmi("web", uid="another", phase="Pending"), {"root": None}))
    assert (cluster.vm(WEB).disk, cluster.vm(WEB).problems) == (20, [])


def test_a_watcher_that_starts_keeps_the_size_of_a_stopped_vm_until_its_disks_change() -> None:
    """The log has the sum only. It holds while nothing that it sums has changed."""
    cluster = Cluster(claims(vm("web"), {"root": None, "data": None}), claims(vmi("web"), {"root": 20, "data": 100}))
    again = cluster.restarted(claims(vm("web", status="Stopped"), {"root": None, "data": None}))
    assert again.vm(WEB).disk == 120
    again.put(claims(vm("web", status="Stopped", labels={"a": "b"}), {"root": None, "data": None}))
    assert again.vm(WEB).disk == 120
    again.put(claims(vm("web", status="Stopped"), {"root": None}))
    assert (again.vm(WEB).disk, again.vm(WEB).problems) == (None, ["disk: size of volume 'root' is unknown"])


TYPE_UID = "3c6be2c9-63a1-4a55-8a11-6c5bb5f7d0fb"


def pinned(generation: int, *, status: str = "Stopped") -> Json:
    """A VM that took this generation of the instancetype u1.large."""
    manifest = vm("web", status=status, instancetype="u1.large")
    revision = {"name": f"web-u1.large-v1beta1-{TYPE_UID}-{generation}"}
    manifest["status"]["instancetypeRef"] = {"name": "u1.large", "controllerRevisionRef": revision}
    return manifest


def u1_large(cpu: int, generation: int) -> Json:
    return instancetype("u1.large", cpu=cpu, uid=TYPE_UID, generation=generation)


def test_a_stopped_vm_keeps_its_size_when_its_instancetype_is_edited() -> None:
    """It is pinned to a revision, and starts with the old size."""
    cluster = Cluster(pinned(1), u1_large(2, generation=1))
    cluster.put(u1_large(8, generation=2))
    assert (cluster.vm(WEB).cpu, cluster.vm(WEB).problems) == (2, [])
    again = cluster.restarted(pinned(1), u1_large(8, generation=2))
    assert (again.vm(WEB).cpu, again.vm(WEB).problems) == (2, [])
    again.put(pinned(2))
    assert again.vm(WEB).cpu == 8
    again.put(u1_large(16, generation=3))
    assert again.vm(WEB).cpu == 8
    again.put(pinned(1))
    assert (again.vm(WEB).cpu, len(again.vm(WEB).problems)) == (None, 1)


def test_a_stopped_vm_keeps_its_size_when_its_instancetype_is_deleted() -> None:
    """The revision that it is pinned to stays. One that took none could not start."""
    cluster = Cluster(pinned(1), vm("db", status="Stopped", instancetype="u1.large"), u1_large(2, generation=1))
    cluster.delete(u1_large(2, generation=1))
    assert (cluster.vm(WEB).cpu, cluster.vm(WEB).problems) == (2, [])
    assert cluster.vm(uid_of("prod", "db")).cpu is None


def reachable(*addresses: str, version: int = 1, created: str = "2026-03-11T08:21:47Z") -> Json:
    instance = vmi("web", version=version)
    instance["metadata"]["creationTimestamp"] = created
    instance["status"]["interfaces"] = [{"name": "default", "ipAddresses": list(addresses)}]
    return instance


def test_an_address_that_blinks_is_no_event() -> None:
    """A guest agent that restarts reports none for some seconds."""
    cluster = Cluster(vm("web"), reachable("10.0.0.7", "fd01::7"))
    published = cluster.published.events
    for _ in range(3):
        cluster.put(reachable())
        cluster.passes(5)
        cluster.put(reachable("10.0.0.7", "fd01::7"))
        cluster.passes(5)
    assert cluster.published.events == published
    assert not cluster.diff.cache.lost_addresses.some.is_set()


def test_a_lost_address_counts_after_some_seconds() -> None:
    """By one event, though nothing else happens."""
    cluster = Cluster(vm("web"), reachable("10.0.0.7", "fd01::7"))
    published = cluster.published.events
    cluster.put(reachable("fd01::7"))
    cluster.passes(9)
    assert cluster.vm(WEB).ips == ["10.0.0.7", "fd01::7"]
    cluster.passes(1)
    assert (cluster.vm(WEB).ip, cluster.vm(WEB).ips) == ("fd01::7", ["fd01::7"])
    cluster.passes(100)
    assert cluster.published.events == published + 1


def test_a_new_address_and_every_change_of_status_count_at_once() -> None:
    """Whoever connects needs the new address, and nobody may see a stopped VM as running."""
    cluster = Cluster(vm("web"), reachable("10.0.0.7"))
    cluster.put(reachable("10.0.0.8"))
    assert cluster.vm(WEB).ips == ["10.0.0.8"]
    cluster.put(reachable())
    cluster.put(vm("web", status="Paused"))
    assert (cluster.vm(WEB).status, cluster.vm(WEB).ips) == ("paused", ["10.0.0.8"])
    cluster.put(reachable(created="2026-03-12T08:21:47Z"))
    assert cluster.vm(WEB).ips == []
    cluster.put(reachable("10.0.0.8", created="2026-03-12T08:21:47Z"))
    cluster.put(reachable(created="2026-03-12T08:21:47Z"))
    cluster.delete(vmi("web"))
    assert cluster.vm(WEB).ips == []
    cluster.passes(10)
    assert not cluster.diff.cache.lost_addresses.some.is_set()


def test_counters_in_the_sentence_of_a_vm_in_error_are_no_events() -> None:
    """The scheduler repeats itself for each node that comes and goes. The next event has the newest sentence."""

    def unschedulable(message: str) -> Json:
        instance = vmi("web", phase="Scheduling")
        condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
        instance["status"]["conditions"] = [condition]
        return instance

    def problems() -> list[str]:
        return cluster.vm(WEB).problems

    cluster = Cluster(vm("web", status="ErrorUnschedulable"), unschedulable("0/6 nodes are available"))
    assert problems() == ["status: Unschedulable: 0/6 nodes are available"]
    published = cluster.published.events
    cluster.put(unschedulable("0/7 nodes are available"))
    assert cluster.published.events == published
    cluster.put(vm("web", status="ErrorUnschedulable", labels={"a": "b"}))
    assert problems() == ["status: Unschedulable: 0/7 nodes are available"]
    cluster.put(unschedulable("0/7 nodes are available: too many taints"))
    assert problems() == ["status: Unschedulable: 0/7 nodes are available: too many taints"]
    cluster.put(vmi("web"))
    assert problems() == []


def test_a_failed_migration_keeps_its_reason_when_the_vm_migrates_again() -> None:
    """Only the instance had it, and its next migration overwrites it."""
    cluster = Cluster(vm("mig", namespace="held"))
    for step in sample("failure-reason.json"):
        instance = vmi("mig", namespace="held")
        instance["status"]["migrationState"] = step["migrationState"]
        cluster.put(instance)
        cluster.put(step["migration"])
    first = cluster.migration("u1")
    assert (first.failure_reason or "").startswith("Live migration stuck for 150 sec")
    assert (first.target_node, cluster.migration("u2").target_node) == ("n2", "n3")
    assert cluster.migration("u2").failure_reason is None
