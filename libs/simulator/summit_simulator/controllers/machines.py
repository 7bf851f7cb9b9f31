"""The controller of VMs and VMIs: writes what `decisions` decided."""

from collections.abc import Callable
from typing import Any

from summit_simulator.controllers.decisions import (
    IMPORT_STEPS,
    Step,
    next_machine_step,
    phase_of,
    without_own_finalizers,
)
from summit_simulator.controllers.machine_status import machine_status, volume_snapshot_statuses
from summit_simulator.controllers.workqueue import WorkQueue
from summit_simulator.objects import data_volume, instancetypes
from summit_simulator.objects import virtual_machine_instance as instance
from summit_simulator.objects.clock import Clock
from summit_simulator.objects.manifest import Manifest, key, metadata, part, set_condition, timestamp
from summit_simulator.objects.objects import Objects
from summit_simulator.objects.resources import (
    CLAIMS,
    DATA_VOLUMES,
    NODES,
    VIRTUALMACHINEINSTANCES,
    VIRTUALMACHINES,
    Resource,
)
from summit_simulator.objects.store import Key

CONTROLLER, HANDLER, IMPORTER = "virt-controller", "virt-handler", "cdi-controller"


class MachineController:
    """virt-controller and virt-handler of one cluster, as far as VMs and VMIs show it."""

    def __init__(self, objects: Objects, clock: Clock) -> None:
        self._objects = objects
        self._clock = clock
        self.queue = WorkQueue(clock, decide=self._decide, perform=self._perform)
        self._steps: dict[str, Callable[[Manifest], None]] = {
            "schedule": lambda vmi: instance.enter_phase(vmi, "Scheduling", self._clock.now()),
            "place": self._place,
            "boot": self._boot,
            "connect agent": lambda vmi: instance.connect_agent(vmi, self._clock.now()),
            "finish instance": lambda vmi: instance.end(vmi, "Succeeded", self._clock.now()),
        }

    def least_loaded_node(self, *, apart_from: str | None = None) -> str:
        """The node with the fewest VMIs. Raises LookupError if there is none."""
        load = self._objects.count_by_label(VIRTUALMACHINEINSTANCES, "kubevirt.io/nodeName")
        nodes = [str(metadata(node)["name"]) for node in self._objects.every(NODES)]
        candidates = [node for node in nodes if node != apart_from]
        if not candidates:
            raise LookupError("no node")
        return min(candidates, key=lambda node: (load[node], node))

    def new_instance(self, vm: Manifest) -> Manifest:
        """The VMI of a VM. Raises KeyError if its instancetype is missing."""
        size = instancetypes.size_of(self._objects, vm)
        domain = part(vm, "spec", "template", "spec", "domain")
        if size is not None:
            cpu: Manifest = {"cores": 1, "sockets": size[0], "threads": 1}
            memory = size[1]
        else:
            cpu = {"cores": 1, "sockets": 1, "threads": 1} | (domain.get("cpu") or {})
            memory = part(domain, "memory").get("guest") or part(domain, "resources", "requests").get("memory", "1Gi")
        return instance.instance_of(vm, cpu=cpu, memory=memory)

    def capacities(self, vm: Manifest | None, vmi: Manifest) -> dict[str, str]:
        """Capacity by claim, from the VM's templates or from the claims themselves."""
        found: dict[Any, Any] = {}
        for template in part(vm or {}, "spec").get("dataVolumeTemplates") or ():
            spec = part(template, "spec")
            storage = part(spec, "storage") or part(spec, "pvc")
            found[part(template, "metadata").get("name")] = part(storage, "resources", "requests").get("storage")
        for volume in part(vmi, "spec").get("volumes") or ():
            name = instance.claim_of(volume)
            if name and name not in found:
                claim = self._objects.find(CLAIMS, metadata(vmi)["namespace"], name)
                if claim:
                    found[name] = claim["status"]["capacity"]["storage"]
        return {name: size for name, size in found.items() if size}

    def _decide(self, place: Key) -> Step | None:
        vm = self._objects.find(VIRTUALMACHINES, *place)
        vmi = self._objects.find(VIRTUALMACHINEINSTANCES, *place)
        if vm is not None:
            status = machine_status(vm, vmi, self._clock.now())
            if status != vm.get("status"):
                vm = vm | {"status": status}
                self._objects.update(VIRTUALMACHINES, vm, manager=CONTROLLER, part="status")
        return next_machine_step(vm, vmi)

    def _perform(self, place: Key, step: Step) -> None:
        match step.action:
            case "import volumes":
                self._import_volumes(place)
            case "create instance":
                self._create_instance(place)
            case "delete instance":
                self._delete_instance(place)
            case "remove instance":
                self._release(VIRTUALMACHINEINSTANCES, place)
            case "release machine":
                self._delete_volumes(place)
                self._release(VIRTUALMACHINES, place)
            case action:
                vmi = self._objects.read(VIRTUALMACHINEINSTANCES, *place)
                self._steps[action](vmi)
                self._objects.update(VIRTUALMACHINEINSTANCES, vmi, manager=HANDLER, part="all")

    def _import_volumes(self, place: Key) -> None:
        """Bring the DataVolumes of a VM a step further, and let it go on when all are complete."""
        volumes = [self._imported(volume) for volume in self._volumes(place)]
        if all(data_volume.is_complete(volume) for volume in volumes):
            self._update_machine_status(place, self._provision)

    def _volumes(self, place: Key) -> list[Manifest]:
        """The DataVolumes of a VM, created where they are missing."""
        vm = self._objects.read(VIRTUALMACHINES, *place)
        volumes = []
        for template in part(vm, "spec").get("dataVolumeTemplates") or ():
            where = place[0], metadata(template)["name"]
            if self._objects.find(DATA_VOLUMES, *where) is None:
                self._objects.create(DATA_VOLUMES, data_volume.data_volume(vm, template), manager=CONTROLLER)
            volumes.append(self._objects.read(DATA_VOLUMES, *where))
        return volumes

    def _imported(self, volume: Manifest) -> Manifest:
        if data_volume.is_complete(volume):
            return volume
        data_volume.report(volume, data_volume.percent_after(volume, 100 / IMPORT_STEPS), self._clock.now())
        self._objects.update(DATA_VOLUMES, volume, manager=IMPORTER, part="status")
        return volume

    def _delete_volumes(self, place: Key) -> None:
        """What the garbage collector does when the owner is deleted."""
        uid = metadata(self._objects.read(VIRTUALMACHINES, *place))["uid"]
        owned = list(self._objects.every(DATA_VOLUMES, place[0], labels={"kubevirt.io/created-by": uid}))
        for volume in owned:
            self._objects.delete(DATA_VOLUMES, *key(volume))

    def _create_instance(self, place: Key) -> None:
        vm = self._objects.read(VIRTUALMACHINES, *place)
        try:
            vmi = self.new_instance(vm)
        except KeyError as error:
            missing = str(error.args[0])
            self._update_machine_status(place, lambda vm: _fail(vm, missing))
            return
        instance.await_boot(vmi, self._clock.now())
        self._update_machine_status(place, _forget_requests)
        self._objects.create(VIRTUALMACHINEINSTANCES, vmi, manager=CONTROLLER, part="all")

    def _delete_instance(self, place: Key) -> None:
        vmi = self._objects.read(VIRTUALMACHINEINSTANCES, *place)
        vm = self._objects.find(VIRTUALMACHINES, *place)
        if vm is not None and phase_of(vmi) == "Failed":
            self._update_machine_status(place, self._record_failure)
        elif vm is not None:
            self._update_machine_status(place, _forget_stop)
        self._objects.delete(VIRTUALMACHINEINSTANCES, *place)

    def _release(self, resource: Resource, place: Key) -> None:
        manifest = without_own_finalizers(self._objects.read(resource, *place))
        self._objects.update(resource, manifest, manager=CONTROLLER, part="all")

    def _update_machine_status(self, place: Key, change: Callable[[Manifest], None]) -> None:
        vm = self._objects.read(VIRTUALMACHINES, *place)
        vm.setdefault("status", {})
        change(vm)
        self._objects.update(VIRTUALMACHINES, vm, manager=CONTROLLER, part="status")

    def _provision(self, vm: Manifest) -> None:
        vm["status"]["volumeSnapshotStatuses"] = volume_snapshot_statuses(vm)

    def _record_failure(self, vm: Manifest) -> None:
        failures = (vm["status"].get("startFailure") or {}).get("consecutiveFailCount", 0)
        moment = timestamp(self._clock.now())
        vm["status"]["startFailure"] = {"consecutiveFailCount": failures + 1, "retryAfterTimestamp": moment}

    def _place(self, vmi: Manifest) -> None:
        try:
            instance.place(vmi, self.least_loaded_node(), self._clock.now())
        except LookupError:
            message = "0/0 nodes are available."
            set_condition(vmi, "PodScheduled", "False", reason="Unschedulable", message=message)

    def _boot(self, vmi: Manifest) -> None:
        vm = self._objects.find(VIRTUALMACHINES, *key(vmi))
        instance.boot(vmi, self.capacities(vm, vmi), self._clock.now())


def _forget_requests(vm: Manifest) -> None:
    vm["status"].pop("stateChangeRequests", None)


def _forget_stop(vm: Manifest) -> None:
    requests = vm["status"].get("stateChangeRequests") or []
    vm["status"]["stateChangeRequests"] = [request for request in requests if request["action"] != "Stop"]
    if not vm["status"]["stateChangeRequests"]:
        del vm["status"]["stateChangeRequests"]


def _fail(vm: Manifest, missing: str) -> None:
    message = f"Failure to find instancetype {missing}"
    set_condition(vm, "Failure", "True", reason="FailedFindInstancetype", message=message)
