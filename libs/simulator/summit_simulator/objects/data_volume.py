"""DataVolumes: what CDI makes of the dataVolumeTemplates of a VM, and how it reports an import.

Shape and words: reference sample datavolume-importing.json; CDI, pkg/controller/datavolume.
"""

from datetime import datetime

from summit_simulator.objects.manifest import Manifest, metadata, part, set_condition, timestamp


def data_volume(vm: Manifest, template: Manifest) -> Manifest:
    """The DataVolume of a template. It belongs to the VM, and is deleted with it."""
    owner = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "name": metadata(vm)["name"]}
    owner |= {"uid": metadata(vm)["uid"], "controller": True, "blockOwnerDeletion": True}
    meta = {
        "name": metadata(template)["name"],
        "namespace": metadata(vm)["namespace"],
        "annotations": {"cdi.kubevirt.io/storage.usePopulator": "true"},
        "labels": {"kubevirt.io/created-by": metadata(vm)["uid"]},
        "ownerReferences": [owner],
    }
    return {"metadata": meta, "spec": part(template, "spec")}


def is_complete(volume: Manifest) -> bool:
    """Whether a VM may start with it."""
    return part(volume, "status").get("phase") == "Succeeded"


def percent_after(volume: Manifest, step: float) -> float:
    """Its percentage a step later. A blank disk has nothing to import."""
    if "blank" in part(volume, "spec", "source"):
        return 100
    return float(str(part(volume, "status").get("progress") or "0%").rstrip("%")) + step


def report(volume: Manifest, percent: float, now: datetime) -> None:
    """Let the import be so far; with 100 it is complete."""
    phase = "Succeeded" if percent >= 100 else "ImportInProgress"
    name = metadata(volume)["name"]
    volume["status"] = part(volume, "status") | {"claimName": name, "phase": phase}
    volume["status"]["progress"] = "100.0%" if percent >= 100 else f"{percent:.2f}%"
    is_done = phase == "Succeeded"
    _set(volume, "Bound", "True", now, reason="Bound", message=f"PVC {name} Bound")
    _set(volume, "Ready", "True" if is_done else "False", now, reason="" if is_done else "TransferRunning")
    reason, running = ("Completed", "False") if is_done else ("Pod is running", "True")
    _set(volume, "Running", running, now, reason=reason, message="Import Complete" if is_done else "")


def fail(volume: Manifest, message: str, now: datetime) -> None:
    """Let the importer fail with this message."""
    _set(volume, "Running", "False", now, reason="Error", message=message)
    volume["status"]["restartCount"] = part(volume, "status").get("restartCount", 0) + 1


def _set(volume: Manifest, kind: str, status: str, now: datetime, *, reason: str, message: str = "") -> None:
    moment = timestamp(now)
    times = {"lastHeartbeatTime": moment, "lastTransitionTime": moment}
    set_condition(volume, kind, status, reason=reason, message=message, **times)
