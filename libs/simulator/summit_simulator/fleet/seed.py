"""A fleet to look at: many VMs of every kind and in every state, the same ones for the same seed.

Objects are written in their final state with the controllers suspended, so 10 000 VMs take a few seconds and
nothing is under way afterwards.
"""

import random
from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple

from summit_simulator.cluster import SimulatedCluster
from summit_simulator.controllers.machine_status import machine_status, volume_snapshot_statuses
from summit_simulator.objects import data_volume, infrastructure
from summit_simulator.objects import virtual_machine_instance as instance
from summit_simulator.objects.guests import GUESTS
from summit_simulator.objects.instancetypes import U1_SERIES
from summit_simulator.objects.manifest import Manifest, encode, metadata, part, set_condition, timestamp
from summit_simulator.objects.resources import DATA_VOLUMES, NODES, VIRTUALMACHINEINSTANCES, VIRTUALMACHINES
from summit_simulator.objects.virtual_machine import Disks, Size, virtual_machine


class Application(NamedTuple):
    """A kind of VM that companies run many of."""

    name: str
    tier: str
    team: str
    os: tuple[str, ...]
    vlan: str | None = None


APPLICATIONS = (
    Application("web", "frontend", "storefront", ("ubuntu", "debian12", "fedora")),
    Application("erp-db", "db", "finance", ("rhel9",), "vlan120"),
    Application("erp-app", "backend", "finance", ("rhel9", "windows2k22"), "vlan120"),
    Application("kafka", "messaging", "platform", ("rhel9", "ubuntu")),
    Application("ci-runner", "worker", "platform", ("fedora", "ubuntu", "cirros")),
    Application("ad", "directory", "workplace", ("windows2k22",), "vlan200"),
    Application("render", "worker", "media", ("ubuntu",)),
    Application("vpn", "edge", "network", ("debian12", "cirros"), "vlan10"),
)
ENVIRONMENTS = (("prod", 6), ("staging", 2), ("dev", 3))

# state → share in per mille. About four of five VMs have a VMI, as in the fleets of the budgets.
STATES = {
    "running": 757,
    "paused": 20,
    "stopped": 158,
    "unschedulable": 12,
    "image pull": 8,
    "crash loop": 10,
    "volume error": 10,
    "provisioning": 10,
    "missing instancetype": 5,
    "instance only": 10,
}


def seed_fleet(cluster: SimulatedCluster, *, vms: int, seed: int = 0) -> None:
    """Add a fleet to a cluster. The same cluster name, count and seed give the same names, uids and states."""
    chosen = random.Random(f"{seed}/{cluster.name}")  # noqa: S311 - reproducible, not secret
    nodes = [str(metadata(node)["name"]) for node in cluster.objects.every(NODES)]
    with cluster.suspended():
        for number in range(vms):
            _Seeding(cluster, chosen, chosen.choice(nodes)).add(number)


class _Seeding:
    """Writes one VM, and its VMI, in a state chosen at random."""

    def __init__(self, cluster: SimulatedCluster, chosen: random.Random, node: str) -> None:
        self._cluster = cluster
        self._chosen = chosen
        self._node = node
        self._created = cluster.clock.now() - timedelta(minutes=chosen.randrange(60 * 24, 60 * 24 * 500))
        self._started = cluster.clock.now() - timedelta(minutes=chosen.randrange(60 * 24))

    def add(self, number: int) -> None:
        state = self._chosen.choices(tuple(STATES), tuple(STATES.values()))[0]
        vm = self._machine(number, state)
        self._cluster.objects.ensure_namespace(metadata(vm)["namespace"])
        meta = metadata(vm)
        meta["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] = _last_applied(vm)
        meta |= {"uid": self._cluster.objects.new_uid(), "creationTimestamp": timestamp(self._created)}
        for volume in vm["spec"]["template"]["spec"]["volumes"]:
            if claim := (volume.get("persistentVolumeClaim") or {}).get("claimName"):
                infrastructure.create_claim(self._cluster.objects, meta["namespace"], claim, "100Gi")
        instance_in = self._states().get(state)
        vmi = instance_in(vm) if instance_in else None
        self._write(vm, vmi, state)

    def _write(self, vm: Manifest, vmi: Manifest | None, state: str) -> None:
        now = self._started
        if state == "stopped" and self._chosen.random() < 0.6:
            vm["status"] = machine_status(vm, self._running(vm), now)  # ran before: its conditions are stale
        vm["status"] = machine_status(vm, vmi, now)
        if state != "instance only":
            self._cluster.objects.create(VIRTUALMACHINES, vm, part="all")
        if state in ("provisioning", "volume error"):
            self._write_volume(vm, fails=state == "volume error")
        if vmi is not None:
            self._cluster.objects.create(VIRTUALMACHINEINSTANCES, vmi, manager="virt-handler", part="all")

    def _write_volume(self, vm: Manifest, *, fails: bool) -> None:
        """The root disk, somewhere in its import. The other VMs have had theirs for so long that CDI removed them."""
        for template in part(vm, "spec").get("dataVolumeTemplates", ())[:1]:
            volume = data_volume.data_volume(vm, template)
            data_volume.report(volume, self._chosen.uniform(0, 99), self._started)
            if fails:
                message = "Unable to connect to http data source: expected status code 200, got 404"
                data_volume.fail(volume, message, self._started)
            self._cluster.objects.create(DATA_VOLUMES, volume, manager="cdi-controller", part="all")

    def _machine(self, number: int, state: str) -> Manifest:
        chosen = self._chosen
        application = chosen.choice(APPLICATIONS)
        environment = chosen.choices([name for name, _ in ENVIRONMENTS], [share for _, share in ENVIRONMENTS])[0]
        name, labels = f"{application.name}-{number:04}", self._labels(application, environment)
        vm = virtual_machine(
            name,
            f"{environment}-{application.team}",
            size=self._size(state),
            disks=self._disks(name),
            run_strategy="Halted" if state == "stopped" else chosen.choice(("Always",) * 8 + ("RerunOnFailure",)),
            labels=labels,
            os=chosen.choice(application.os),
            vlan=application.vlan,
        )
        if state != "provisioning":
            vm["status"] = {"volumeSnapshotStatuses": volume_snapshot_statuses(vm)}
        return vm

    def _labels(self, application: Application, environment: str) -> dict[str, str]:
        return {
            "app": application.name,
            "tier": application.tier,
            "app.kubernetes.io/part-of": application.team,
            "environment": environment,
        }

    def _size(self, state: str) -> Size:
        if state == "missing instancetype":
            return Size(instancetype="u1.retired")
        if self._chosen.random() < 0.6:
            return Size(instancetype=self._chosen.choice(tuple(U1_SERIES)))
        return Size(self._chosen.choice((1, 2, 2, 4, 8)), self._chosen.choice(("1Gi", "2Gi", "4Gi", "8192Mi", "16Gi")))

    def _disks(self, name: str) -> Disks:
        chance = self._chosen.random()
        if chance < 0.05:
            return Disks(())  # a container disk
        sizes = ("30Gi",) if chance < 0.6 else ("30Gi", self._chosen.choice(("50Gi", "100Gi", "500Gi")))
        return Disks(sizes, (f"{name}-data",) if chance > 0.85 else ())

    def _states(self) -> dict[str, Callable[[Manifest], Manifest | None]]:
        return {
            "running": self._running,
            "paused": self._paused,
            "unschedulable": self._unschedulable,
            "image pull": self._image_pull,
            "crash loop": self._crash_loop,
            "volume error": self._volume_error,
            "missing instancetype": self._missing_instancetype,
            "instance only": self._instance_only,
        }

    def _new_instance(self, vm: Manifest) -> Manifest:
        vmi = self._cluster.controllers.machines.new_instance(vm)
        metadata(vmi)["uid"] = self._cluster.objects.new_uid()
        metadata(vmi)["creationTimestamp"] = timestamp(self._started)
        instance.await_boot(vmi, self._started)
        instance.enter_phase(vmi, "Scheduling", self._started)
        return vmi

    def _running(self, vm: Manifest) -> Manifest:
        vmi = self._new_instance(vm)
        instance.place(vmi, self._node, self._started)
        instance.boot(vmi, self._cluster.controllers.machines.capacities(vm, vmi), self._started)
        if GUESTS[metadata(vmi)["annotations"]["vm.kubevirt.io/os"]].has_agent:
            instance.connect_agent(vmi, self._started)
        return vmi

    def _paused(self, vm: Manifest) -> Manifest:
        vmi = self._running(vm)
        instance.set_paused(vmi, self._started, paused=True)
        return vmi

    def _instance_only(self, vm: Manifest) -> Manifest:
        vmi = self._running(vm)
        del metadata(vmi)["ownerReferences"]
        return vmi

    def _unschedulable(self, vm: Manifest) -> Manifest:
        vmi = self._new_instance(vm)
        message = "0/6 nodes are available: 6 Insufficient memory."
        set_condition(vmi, "PodScheduled", "False", reason="Unschedulable", message=message)
        return vmi

    def _image_pull(self, vm: Manifest) -> Manifest:
        vmi = self._new_instance(vm)
        set_condition(vmi, "Synchronized", "False", reason="ImagePullBackOff", message="Back-off pulling image")
        return vmi

    def _crash_loop(self, vm: Manifest) -> None:
        failure = {"consecutiveFailCount": 4, "retryAfterTimestamp": timestamp(self._started)}
        vm["spec"]["runStrategy"] = "Always"
        vm["status"]["startFailure"] = failure

    def _volume_error(self, vm: Manifest) -> None:
        vm["spec"]["runStrategy"] = "Always"
        vm["status"]["printableStatus"] = "DataVolumeError"

    def _missing_instancetype(self, vm: Manifest) -> None:
        message = "Failure to find instancetype u1.retired"
        vm["status"]["observedGeneration"] = 1
        set_condition(vm, "Failure", "True", reason="FailedFindInstancetype", message=message)


def _last_applied(vm: Manifest) -> str:
    """The annotation of kubectl apply: the manifest as the user wrote it, here without its template."""
    meta = {name: metadata(vm)[name] for name in ("labels", "name", "namespace")}
    spec = {name: value for name, value in vm["spec"].items() if name != "template"}
    return encode(vm | {"metadata": meta, "spec": spec}).decode() + "\n"
