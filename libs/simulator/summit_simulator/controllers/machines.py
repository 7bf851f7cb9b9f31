"""The controller of VMs and VMIs: writes what `decisions` decided."""

from collections.abc import Callable
from typing import Any

from summit_simulator.controllers import automatic_migrations, live_update, volumes
from summit_simulator.controllers.decisions import (
    Step,
    next_machine_step,
    phase_of,
    requested,
    shutdown_of,
    without_own_finalizers,
)
from summit_simulator.controllers.machine_status import machine_status, volume_snapshot_statuses
from summit_simulator.controllers.scheduling import Unschedulable, node_for
from summit_simulator.controllers.workqueue import WorkQueue
from summit_simulator.objects import infrastructure, instancetypes
from summit_simulator.objects import virtual_machine_instance as instance
from summit_simulator.objects.clock import Clock
from summit_simulator.objects.manifest import (
    Manifest,
    drop_condition,
    key,
    metadata,
    part,
    set_condition,
    timestamp,
)
from summit_simulator.objects.objects import Objects
from summit_simulator.objects.resources import (
    CLAIMS,
    VIRTUALMACHINEINSTANCES,
    VIRTUALMACHINES,
    Resource,
)
from summit_simulator.objects.store import Key
from summit_simulator.objects.virtual_machine import run_strategy
from summit_simulator.objects.virtual_machine_instance import FINAL_PHASES

CONTROLLER, HANDLER = "virt-controller", "virt-handler"


class MachineController:
    """virt-controller and virt-handler of one cluster, as far as VMs and VMIs show it."""

    def __init__(self, objects: Objects, clock: Clock) -> None:
        self._objects = objects
        self._clock = clock
        self.queue = WorkQueue(clock, decide=self._decide, perform=self._perform)
        self._unschedulable: set[Key] = set()
        self._steps: dict[str, Callable[[Manifest], None]] = {
            "wait for sync": lambda vmi: instance.enter_phase(vmi, "WaitingForSync", self._clock.now()),
            "schedule": lambda vmi: instance.enter_phase(vmi, "Scheduling", self._clock.now()),
            "place": self._place,
            "boot": self._boot,
            "become ready": lambda vmi: instance.become_ready(vmi, self._clock.now()),
            "connect agent": lambda vmi: instance.connect_agent(vmi, self._clock.now()),
            "finish instance": self._finish_instance,
        }

    def nodes_changed(self) -> None:
        """Try again to place what no node took."""
        for place in sorted(self._unschedulable):
            self._unschedulable.discard(place)
            vmi = self._objects.find(VIRTUALMACHINEINSTANCES, *place)
            if vmi is not None:
                drop_condition(vmi, "PodScheduled")
                self._objects.update(VIRTUALMACHINEINSTANCES, vmi, manager=CONTROLLER, part="all")

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
            if vmi is not None and _may_be_updated(vm, vmi):
                self._update_live(vm, vmi)
        return next_machine_step(vm, vmi)

    def _update_live(self, vm: Manifest, vmi: Manifest) -> None:
        """Bring an edit of the template to the VMI that runs, or show that it needs a restart."""
        try:
            wanted = part(self.new_instance(vm), "spec")
        except KeyError:
            return  # the instancetype is missing: at the next start that is a failure
        stage = infrastructure.configuration(self._objects).get("vmRolloutStrategy") == "Stage"
        update = live_update.live_update(wanted, vmi, only_at_restart=stage)
        if message := update.restart_required:
            fields = {"message": message, "lastTransitionTime": timestamp(self._clock.now())}
            self._update_machine_status(key(vm), lambda vm: set_condition(vm, "RestartRequired", "True", **fields))
            return
        if update.spec is not None:
            vmi["spec"] = update.spec
        elif update.is_done:
            metadata(vmi)["annotations"][live_update.GENERATION] = str(metadata(vm)["generation"])
        else:
            return
        if update.condition:
            set_condition(vmi, update.condition, "True", lastTransitionTime=timestamp(self._clock.now()))
        if update.condition == "HotMemoryChange":
            vmi["status"]["memory"]["guestRequested"] = vmi["spec"]["domain"]["memory"]["guest"]
        self._objects.update(VIRTUALMACHINEINSTANCES, vmi, manager=CONTROLLER, part="all")
        if update.condition:
            automatic_migrations.update_workload(self._objects, vmi)

    def _perform(self, place: Key, step: Step) -> None:
        match step.action:
            case "import volumes":
                if volumes.import_further(self._objects, self._clock, self._objects.read(VIRTUALMACHINES, *place)):
                    self._update_machine_status(place, self._provision)
            case "run always":
                self._run_always(place)
            case "create instance":
                self._create_instance(place)
            case "delete instance":
                self._delete_instance(place)
            case "remove instance":
                self._release(VIRTUALMACHINEINSTANCES, place)
            case "release machine":
                volumes.delete_owned(self._objects, self._objects.read(VIRTUALMACHINES, *place))
                self._release(VIRTUALMACHINES, place)
            case "orphan instance":
                self._orphan_instance(place)
                self._release(VIRTUALMACHINES, place)
            case action:
                vmi = self._objects.read(VIRTUALMACHINEINSTANCES, *place)
                self._steps[action](vmi)
                self._objects.update(VIRTUALMACHINEINSTANCES, vmi, manager=HANDLER, part="all")

    def _run_always(self, place: Key) -> None:
        """A start request for a Halted VM: it should be paused after its start."""
        vm = self._objects.read(VIRTUALMACHINES, *place)
        strategy = {"running": True} if vm["spec"].get("runStrategy") is None else {"runStrategy": "Always"}
        self._objects.update(VIRTUALMACHINES, vm | {"spec": vm["spec"] | strategy}, manager=CONTROLLER)

    def _orphan_instance(self, place: Key) -> None:
        """What the garbage collector does for propagationPolicy Orphan."""
        volumes.orphan_owned(self._objects, self._objects.read(VIRTUALMACHINES, *place))
        vmi = self._objects.read(VIRTUALMACHINEINSTANCES, *place)
        metadata(vmi).pop("ownerReferences", None)
        self._objects.update(VIRTUALMACHINEINSTANCES, vmi, manager="kube-controller-manager", part="all")

    def _create_instance(self, place: Key) -> None:
        vm = self._objects.read(VIRTUALMACHINES, *place)
        try:
            vmi = self.new_instance(vm)
        except KeyError as error:
            missing = str(error.args[0])
            self._update_machine_status(place, lambda vm: _fail(vm, missing))
            return
        instance.await_boot(vmi, self._clock.now())
        if _asks_for_pause(vm):
            vmi["spec"]["startStrategy"] = "Paused"
        self._update_machine_status(place, lambda vm: drop_condition(vm, "RestartRequired"))
        self._objects.create(VIRTUALMACHINEINSTANCES, vmi, manager=CONTROLLER, part="all")

    def _delete_instance(self, place: Key) -> None:
        vmi = self._objects.read(VIRTUALMACHINEINSTANCES, *place)
        vm = self._objects.find(VIRTUALMACHINES, *place)
        if vm is not None and phase_of(vmi) == "Failed" and requested(vm) is None:
            self._update_machine_status(place, self._record_failure)
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
            instance.place(vmi, node_for(self._objects, vmi), self._clock.now())
        except Unschedulable as error:
            set_condition(vmi, "PodScheduled", "False", reason="Unschedulable", message=str(error))
            self._unschedulable.add(key(vmi))

    def _boot(self, vmi: Manifest) -> None:
        vm = self._objects.find(VIRTUALMACHINES, *key(vmi))
        instance.boot(vmi, self.capacities(vm, vmi), self._clock.now())
        if part(vmi, "spec").get("startStrategy") == "Paused":
            instance.set_paused(vmi, self._clock.now(), paused=True)

    def _finish_instance(self, vmi: Manifest) -> None:
        _, is_killed = shutdown_of(vmi)
        instance.end(vmi, "Failed" if is_killed else "Succeeded", self._clock.now())


def _may_be_updated(vm: Manifest, vmi: Manifest) -> bool:
    is_leaving = any(metadata(one).get("deletionTimestamp") for one in (vm, vmi)) or run_strategy(vm) == "Halted"
    return not is_leaving and phase_of(vmi) not in FINAL_PHASES and live_update.is_outdated(vm, vmi)


def _asks_for_pause(vm: Manifest) -> bool:
    requests = part(vm, "status").get("stateChangeRequests") or ()
    return any(part(request, "data").get("paused") == "true" for request in requests)


def _fail(vm: Manifest, missing: str) -> None:
    message = f"Failure to find instancetype {missing}"
    set_condition(vm, "Failure", "True", reason="FailedFindInstancetype", message=message)
