"""KubeVirt's subresources: start, stop, restart, migrate, pause, unpause.

Codes and messages are those of virt-api (pkg/virt-api/rest/lifecycle.go), its spelling included.
"""

from typing import Any

from summit_simulator.api import admission
from summit_simulator.controllers.decisions import phase_of
from summit_simulator.objects import status
from summit_simulator.objects.clock import Clock
from summit_simulator.objects.manifest import Manifest, conditions, metadata
from summit_simulator.objects.objects import Objects
from summit_simulator.objects.resources import MIGRATIONS, VIRTUALMACHINEINSTANCES, VIRTUALMACHINES, Resource
from summit_simulator.objects.status import StatusError
from summit_simulator.objects.virtual_machine import run_strategy
from summit_simulator.objects.virtual_machine_instance import FINAL_PHASES, set_paused

API = "virt-api"


class Actions:
    """What can be asked of VMs and VMIs. Each returns the HTTP code of its success."""

    def __init__(self, objects: Objects, clock: Clock) -> None:
        self._objects = objects
        self._clock = clock

    def perform(self, resource: Resource, subresource: str, place: tuple[str, str], body: Any) -> int:
        """PUT .../<subresource>. Raises StatusError 400, 404, 409, 500 as virt-api does."""
        options = body if isinstance(body, dict) else {}
        vm = self._objects.find(VIRTUALMACHINES, *place)
        vmi = self._objects.find(VIRTUALMACHINEINSTANCES, *place)
        if (vm if resource is VIRTUALMACHINES else vmi) is None:
            raise status.virt_api_not_found(resource, place[1])
        dry_run = "All" in (options.get("dryRun") or ())
        match subresource:
            case "start":
                return self._start(vm or {}, vmi, dry_run=dry_run)
            case "stop":
                return self._stop(vm or {}, vmi, options, dry_run=dry_run)
            case "restart":
                return self._restart(vm or {}, vmi, options, dry_run=dry_run)
            case "migrate":
                return self._migrate(vm or {}, vmi, options, dry_run=dry_run)
            case "pause" | "unpause":
                return self._pause(vmi or {}, paused=subresource == "pause", dry_run=dry_run)
            case _:
                raise StatusError(404, "the server could not find the requested resource", details={})

    def _start(self, vm: Manifest, vmi: Manifest | None, *, dry_run: bool) -> int:
        strategy = run_strategy(vm)
        if vmi is not None and phase_of(vmi) not in (*FINAL_PHASES, "", "Unknown"):
            raise _conflict(vm, "VM is already running")
        if strategy in ("Always", "Once"):
            raise _conflict(vm, f"{strategy} does not support manual start requests")
        if strategy == "RerunOnFailure" and vmi is not None and phase_of(vmi) == "Failed":
            raise _conflict(vm, "RerunOnFailure does not support starting VM from failed state")
        if conditions(vm).get("ManualRecoveryRequired", {}).get("status") == "True":
            raise _conflict(vm, "VM recovery required")
        if dry_run:
            return 202
        if strategy == "Halted":
            self._set_strategy(vm, "Always")
        elif strategy in ("Manual", "RerunOnFailure"):
            self._request(vm, {"action": "Start"})
        return 202  # WaitAsReceiver: accepted, and nothing happens

    def _stop(self, vm: Manifest, vmi: Manifest | None, options: Manifest, *, dry_run: bool) -> int:
        strategy = run_strategy(vm)
        is_live = vmi is not None and phase_of(vmi) not in FINAL_PHASES
        if strategy in ("Halted", "Manual", "RerunOnFailure") and not is_live:
            raise _conflict(vm, "VM is not running")
        if strategy == "Halted" and options.get("gracePeriod") is None:
            raise _conflict(vm, "Halted only supports manual stop requests with a shorter graceperiod")
        if dry_run:
            return 202
        if strategy in ("Always", "Once"):
            self._set_strategy(vm, "Halted")
        elif strategy in ("Manual", "RerunOnFailure") and vmi is not None:
            self._request(vm, {"action": "Stop", "uid": metadata(vmi)["uid"]})
        return 202

    def _restart(self, vm: Manifest, vmi: Manifest | None, options: Manifest, *, dry_run: bool) -> int:
        strategy = run_strategy(vm)
        if options.get("gracePeriodSeconds") not in (None, 0):
            raise StatusError(400, "For force restart, only gracePeriod=0 is supported for now", details={})
        if strategy in ("Halted", "Once"):
            raise _conflict(vm, f"RunStategy {strategy} does not support manual restart requests")
        if vmi is None:
            raise _conflict(vm, "VM is not running: Halted")
        if not dry_run:
            stop = {"action": "Stop", "uid": metadata(vmi)["uid"]}
            self._request(vm, stop, {"action": "Start"})
        return 202

    def _migrate(self, vm: Manifest, vmi: Manifest | None, options: Manifest, *, dry_run: bool) -> int:
        if vmi is None:
            raise status.virt_api_not_found(VIRTUALMACHINEINSTANCES, metadata(vm)["name"])
        if phase_of(vmi) != "Running":
            raise _conflict(vm, "VM is not running")
        name, namespace = metadata(vm)["name"], metadata(vm)["namespace"]
        meta = {"generateName": "kubevirt-migrate-vm-", "namespace": namespace}
        spec: Manifest = {"vmiName": name}
        if selector := options.get("addedNodeSelector"):
            spec["addedNodeSelector"] = selector
        migration: Manifest = {"metadata": meta, "spec": spec}
        try:
            admission.admit_create(self._objects, MIGRATIONS, migration)
        except StatusError as denial:
            # virt-api wraps the answer of the webhook in a 500
            raise StatusError(500, f"Internal error occurred: {denial}") from denial
        if not dry_run:
            self._objects.create(MIGRATIONS, migration, manager=API)
        return 202

    def _pause(self, vmi: Manifest, *, paused: bool, dry_run: bool) -> int:
        if phase_of(vmi) != "Running":
            raise _conflict(vmi, "VMI is not running", VIRTUALMACHINEINSTANCES)
        if ("Paused" in conditions(vmi)) == paused:
            why = "VMI is already paused" if paused else "VMI is not paused"
            raise _conflict(vmi, why, VIRTUALMACHINEINSTANCES)
        if not dry_run:
            set_paused(vmi, self._clock.now(), paused=paused)
            self._objects.update(VIRTUALMACHINEINSTANCES, vmi, manager="virt-handler", part="all")
        return 200

    def _set_strategy(self, vm: Manifest, strategy: str) -> None:
        if "running" in vm["spec"]:
            vm["spec"]["running"] = strategy == "Always"
        else:
            vm["spec"]["runStrategy"] = strategy
        self._objects.update(VIRTUALMACHINES, vm, manager=API)

    def _request(self, vm: Manifest, *requests: Manifest) -> None:
        held = (vm.setdefault("status", {})).setdefault("stateChangeRequests", [])
        if held:
            raise StatusError(500, "Internal error occurred: unable to complete request: stop/start already underway")
        held.extend(requests)
        self._objects.update(VIRTUALMACHINES, vm, manager=API, part="status")


def _conflict(manifest: Manifest, why: str, resource: Resource = VIRTUALMACHINES) -> StatusError:
    return status.virt_api_conflict(resource, metadata(manifest)["name"], why)
