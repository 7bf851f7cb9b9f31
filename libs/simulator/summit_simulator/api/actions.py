"""Requests of virtctl: start, stop, restart, pause, unpause, migrate (virt-api, rest/lifecycle.go).

virt-api answers 409 where a request does not suit the state of the VM; here such a request does nothing.
"""

from datetime import datetime

from summit_simulator.api import admission
from summit_simulator.objects.manifest import Manifest, metadata
from summit_simulator.objects.objects import Objects
from summit_simulator.objects.resources import MIGRATIONS, VIRTUALMACHINEINSTANCES, VIRTUALMACHINES
from summit_simulator.objects.store import Key
from summit_simulator.objects.virtual_machine import run_strategy
from summit_simulator.objects.virtual_machine_instance import set_paused


def perform(objects: Objects, action: str, place: Key, now: datetime) -> None:
    """Request an action for the VM of that namespace and name. Raises StatusError 404, and what `migrate` raises."""
    match action:
        case "migrate":
            migrate(objects, place)
        case "pause" | "unpause":
            vmi = objects.read(VIRTUALMACHINEINSTANCES, *place)
            set_paused(vmi, now, paused=action == "pause")
            objects.update(VIRTUALMACHINEINSTANCES, vmi, manager="virt-handler", part="all")
        case _:
            vm = objects.read(VIRTUALMACHINES, *place)
            _change_run(objects, vm, objects.find(VIRTUALMACHINEINSTANCES, *place), action)


def migrate(objects: Objects, place: Key) -> Manifest:
    """Create a migration of a VMI. Raises StatusError 400 if the webhook denies it."""
    namespace, name = place
    meta = {"generateName": f"{name}-migration-", "namespace": namespace}
    migration: Manifest = {"metadata": meta, "spec": {"vmiName": name}}
    admission.admit_create(objects, MIGRATIONS, migration)
    return objects.create(MIGRATIONS, migration).manifest()


def _change_run(objects: Objects, vm: Manifest, vmi: Manifest | None, action: str) -> None:
    """Change the run strategy where it decides alone; else leave a request that virt-controller reads."""
    start, strategy = {"action": "Start"}, run_strategy(vm)
    stop = {"action": "Stop", "uid": metadata(vmi)["uid"]} if vmi else None
    requests: list[Manifest] = []
    match action, strategy:
        case ("start", "Halted"):
            vm["spec"]["runStrategy"] = "Always"
        case ("stop", "Always" | "Once"):
            vm["spec"]["runStrategy"] = "Halted"
        case ("start", "Manual" | "RerunOnFailure"):
            requests = [start]
        case ("stop", _) if stop:
            requests = [stop]
        case ("restart", _) if stop:
            requests = [stop, start]
    if requests:
        vm.setdefault("status", {}).setdefault("stateChangeRequests", requests)
    objects.update(VIRTUALMACHINES, vm, manager="virt-api", part="status" if requests else "object")
