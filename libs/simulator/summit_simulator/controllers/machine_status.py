"""The status that virt-controller derives for a VM from the VM and its VMI (pkg/virt-controller/watch/vm/vm.go)."""

from datetime import datetime

from summit_simulator.controllers.decisions import HELD_STATUSES, phase_of, requested, wants_instance
from summit_simulator.objects.manifest import (
    Manifest,
    conditions,
    drop_condition,
    metadata,
    part,
    set_condition,
    timestamp,
)
from summit_simulator.objects.virtual_machine import run_strategy
from summit_simulator.objects.virtual_machine_instance import FINAL_PHASES

_STARTING_PHASES = ("", "Pending", "Scheduling", "Scheduled")


def printable_status(vm: Manifest, vmi: Manifest | None) -> str:
    """The printableStatus by the first rule that matches, in the order of setPrintableStatus."""
    if metadata(vm).get("deletionTimestamp"):
        return "Terminating"
    live = vmi if vmi and phase_of(vmi) not in FINAL_PHASES else None
    if live:
        return _printable_status_of_live(vm, live)
    status = vm.get("status") or {}
    if not wants_instance(vm) or conditions(vm).get("Failure", {}).get("status") == "True":
        return "Stopped"
    if status.get("printableStatus") in HELD_STATUSES:
        return str(status["printableStatus"])
    if part(vm, "spec").get("dataVolumeTemplates") and "volumeSnapshotStatuses" not in status:
        return "Provisioning"
    return "CrashLoopBackOff" if "startFailure" in status else "Starting"


def _printable_status_of_live(  # noqa: PLR0911 - the order of setPrintableStatus
    vm: Manifest, vmi: Manifest
) -> str:
    found, phase = conditions(vmi), phase_of(vmi)
    if metadata(vmi).get("deletionTimestamp") or run_strategy(vm) == "Halted":
        return "Stopping"
    if requested(vm) == "Stop":
        return "Stopping"
    migration = part(vmi, "status", "migrationState")
    if migration.get("startTimestamp") and not migration.get("endTimestamp"):
        return "Migrating"
    if phase == "Running":
        return "Paused" if "Paused" in found else "Running"
    if found.get("Synchronized", {}).get("reason") == "FailedPvcNotFound":
        return "ErrorPvcNotFound"
    if found.get("PodScheduled", {}).get("reason") == "Unschedulable":
        return "ErrorUnschedulable"
    if (reason := found.get("Synchronized", {}).get("reason")) in ("ErrImagePull", "ImagePullBackOff"):
        return str(reason)
    if phase == "WaitingForSync":
        return "WaitingForReceiver" if run_strategy(vm) == "WaitAsReceiver" else "Unknown"
    return "Starting" if phase in _STARTING_PHASES else "Unknown"


def _forget_obeyed(status: Manifest, vmi: Manifest | None) -> None:
    """Remove what is done from the requests: the VMI to stop is gone, or one has started."""
    requests = list(status.get("stateChangeRequests") or ())
    if requests and requests[0]["action"] == "Stop" and (vmi is None or metadata(vmi)["uid"] != requests[0].get("uid")):
        del requests[0]
    if requests and requests[0]["action"] == "Start" and vmi is not None:
        del requests[0]
    if requests:
        status["stateChangeRequests"] = requests
    else:
        status.pop("stateChangeRequests", None)


def machine_status(vm: Manifest, vmi: Manifest | None, now: datetime) -> Manifest:
    updated = vm | {"status": dict(vm.get("status") or {})}
    status = updated["status"]
    generation = metadata(vm).get("generation", 1)
    if status.get("observedGeneration") != generation:
        drop_condition(updated, "Failure")  # the VM was edited: try again
    _forget_obeyed(status, vmi)
    _copy_conditions(updated, vmi, now)
    status |= {"desiredGeneration": generation, "observedGeneration": generation}
    is_ready = bool(vmi) and conditions(updated).get("Ready", {}).get("status") == "True"
    for member, holds in (("created", vmi is not None), ("ready", is_ready)):
        if holds:
            status[member] = True
        else:
            status.pop(member, None)  # omitempty: false is absent
    if vmi is not None:
        status["runStrategy"] = run_strategy(vm)
        if phase_of(vmi) == "Running":
            status.pop("startFailure", None)
    if matcher := part(vm, "spec").get("instancetype"):
        status["instancetypeRef"] = {"kind": matcher.get("kind"), "name": matcher["name"]}
    status["printableStatus"] = printable_status(updated, vmi)
    return dict(status)


def _copy_conditions(vm: Manifest, vmi: Manifest | None, now: datetime) -> None:
    """Copy the VMI's conditions; without a VMI only Ready is maintained and the others go stale (syncConditions)."""
    held = conditions(vm)
    if vmi is None:
        vm["status"]["conditions"] = list(held.values())
        if held.get("Ready", {}).get("reason") != "VMINotExists":
            moment = timestamp(now)
            set_condition(
                vm,
                "Ready",
                "False",
                reason="VMINotExists",
                message="VMI does not exist",
                lastProbeTime=moment,
                lastTransitionTime=moment,
            )
        return
    ours = [condition for kind, condition in held.items() if kind == "RestartRequired"]
    vm["status"]["conditions"] = [*conditions(vmi).values(), *ours]


def volume_snapshot_statuses(vm: Manifest) -> list[Manifest]:
    """Which volumes can be snapshotted; recorded once the DataVolumes are there."""
    found: list[Manifest] = []
    for volume in part(vm, "spec", "template", "spec").get("volumes") or ():
        if "cloudInitNoCloud" in volume:
            reason = f"Snapshot is not supported for this volumeSource type [{volume['name']}]"
            found.append({"enabled": False, "name": volume["name"], "reason": reason})
        else:
            found.append({"enabled": True, "name": volume["name"]})
    return found
