"""pause, unpause, softreboot, reset, freeze and unfreeze of VMIs: virt-api checks, then asks virt-handler."""

from summit_simulator.objects import status
from summit_simulator.objects.manifest import Manifest, conditions, drop_condition, part
from summit_simulator.objects.resources import VIRTUALMACHINEINSTANCES, VIRTUALMACHINES
from summit_simulator.objects.status import StatusError
from summit_simulator.objects.virtual_machine_instance import set_paused
from summit_simulator.virtapi.call import Call

DONE = 200
NOT_RUNNING = "VMI is not running"
VM_NOT_RUNNING = "VM is not running"  # in some handlers, of a VMI as well


def pause(call: Call) -> int:
    vmi = _running(call, VM_NOT_RUNNING)
    probe = part(vmi, "spec").get("livenessProbe")
    if probe is not None and "guestAgentPing" not in probe:
        why = "Pausing VMIs with LivenessProbe is currently not supported"
        raise call.forbidden(why, VIRTUALMACHINEINSTANCES)
    if "Paused" in conditions(vmi):
        raise call.conflict("VMI is already paused", VIRTUALMACHINEINSTANCES)
    set_paused(vmi, call.clock.now(), paused=True)
    return _put(call, "pause", vmi)


def unpause(call: Call) -> int:
    vm = call.objects.find(VIRTUALMACHINES, *call.place)
    if vm is not None and part(vm, "status").get("snapshotInProgress"):
        raise call.conflict("VM snapshot is in progress")
    vmi = _running(call, NOT_RUNNING)
    if "Paused" not in conditions(vmi):
        raise call.conflict("VMI is not paused", VIRTUALMACHINEINSTANCES)
    set_paused(vmi, call.clock.now(), paused=False)
    return _put(call, "unpause", vmi)


def softreboot(call: Call) -> int:
    vmi = _running(call, VM_NOT_RUNNING)
    found = conditions(vmi)
    if found.get("Paused", {}).get("status") == "True":
        raise call.conflict("VMI is paused", VIRTUALMACHINEINSTANCES)
    acpi = part(vmi, "spec", "domain", "features", "acpi")
    if "AgentConnected" not in found and acpi.get("enabled") is False:
        why = "VMI neither have the agent connected nor the ACPI feature enabled"
        raise call.conflict(why, VIRTUALMACHINEINSTANCES)
    drop_condition(vmi, "AgentConnected")  # until the guest is up again
    return _put(call, "softreboot", vmi)


def reset(call: Call) -> int:
    vmi = call.vmi()
    phase = part(vmi, "status").get("phase") or ""
    if phase not in ("Running", "Scheduled"):
        why = f"Unable to connect to VirtualMachineInstance because phase is {phase} instead of Running or Scheduled"
        raise StatusError(400, f"Failed to reset non-running VMI with phase {phase}: {why}", details={})
    drop_condition(vmi, "AgentConnected")
    return _put(call, "reset", vmi)


def freeze(call: Call) -> int:
    vmi = _running(call, VM_NOT_RUNNING)
    vmi["status"]["fsFreezeStatus"] = "frozen"
    return _put(call, "freeze", vmi)


def unfreeze(call: Call) -> int:
    vmi = _running(call, NOT_RUNNING)
    vmi["status"].pop("fsFreezeStatus", None)
    return _put(call, "unfreeze", vmi)


def _running(call: Call, otherwise: str) -> Manifest:
    vmi = call.vmi()
    if part(vmi, "status").get("phase") != "Running":
        raise call.conflict(otherwise, VIRTUALMACHINEINSTANCES)
    return vmi


def _put(call: Call, what: str, vmi: Manifest) -> int:
    if call.dry_run:
        return DONE
    if not call.reaches_handler():
        namespace, name = call.place
        url = f"https://10.129.0.17:8186/v1/namespaces/{namespace}/virtualmachineinstances/{name}/{what}"
        # virt-api waits 10 s for virt-handler
        why = f'Put "{url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
        raise status.internal(why)
    call.write_vmi(vmi)
    return DONE
