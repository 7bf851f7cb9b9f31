"""start, stop and restart of VMs, which differ by run strategy (virt-api, rest/lifecycle.go, its spelling included).

start and stop of Halted, Always and Once change the run strategy; the others leave a request in
status.stateChangeRequests, which virt-controller obeys. WaitAsReceiver and unknown strategies are accepted, and
nothing happens.
"""

from summit_simulator.objects import status
from summit_simulator.objects.manifest import Manifest, conditions, metadata, part
from summit_simulator.objects.status import StatusError
from summit_simulator.objects.virtual_machine import run_strategy
from summit_simulator.objects.virtual_machine_instance import FINAL_PHASES
from summit_simulator.virtapi.call import MANAGER, Call

ACCEPTED = 202
NOT_RUNNING = "VM is not running"
UNDERWAY = "unable to complete request: stop/start already underway"
RECOVERY_REQUIRED = (
    "VM recovery required: Volume migration failed, leaving some volumes pointing to non-consistent targets; "
    "manual intervention is needed to reassign them to their original volumes"
)
# The grace period in seconds of a forced restart, which deletes the pod: the shortest that is safe.
FORCED_RESTART_SECONDS = 1


def start(call: Call) -> int:
    vm, vmi, paused = call.vm(), call.find_vmi(), call.options.get("paused") is True
    if vmi is not None and _phase(vmi) not in (*FINAL_PHASES, "", "Unknown"):
        raise call.conflict("VM is already running")
    if _holds(vm, "ManualRecoveryRequired"):
        raise call.conflict(RECOVERY_REQUIRED)
    request: Manifest = {"action": "Start"} | ({"data": {"paused": "true"}} if paused else {})
    match _strategy_of(vm):
        case "Halted" if paused:
            _request(call, vm, request)
        case "Halted":
            _set_strategy(call, vm, running=True)
        case "RerunOnFailure" if vmi is not None and _phase(vmi) == "Failed":
            raise call.conflict("RerunOnFailure does not support starting VM from failed state")
        case "RerunOnFailure" | "Manual" if vmi is not None and _phase(vmi) in FINAL_PHASES:
            _request(call, vm, _stop(vmi), request)
        case "RerunOnFailure" | "Manual":
            _request(call, vm, request)
        case "Always" | "Once" as strategy:
            raise call.conflict(f"{strategy} does not support manual start requests")
    return ACCEPTED


def stop(call: Call) -> int:
    vm, vmi = call.vm(), call.find_vmi()
    live = vmi if vmi is not None and _phase(vmi) not in FINAL_PHASES else None
    grace, former = call.options.get("gracePeriod"), part(live or {}, "spec").get("terminationGracePeriodSeconds")
    strategy = _strategy_of(vm)
    if live is not None and grace is not None:
        _set_grace_period(call, live, grace)
        vm = call.vm()  # the controllers have seen the write
    if strategy in ("Halted", "Manual", "RerunOnFailure") and live is None:
        raise call.conflict(NOT_RUNNING)
    if strategy == "Halted" and (grace is None or (former is not None and grace >= former)):
        raise call.conflict("Halted only supports manual stop requests with a shorter graceperiod")
    if strategy in ("Always", "Once"):
        _set_strategy(call, vm, running=False)
    elif strategy in ("Halted", "Manual", "RerunOnFailure") and live is not None:
        _request(call, vm, _stop(live))
    return ACCEPTED


def restart(call: Call) -> int:
    grace = call.options.get("gracePeriodSeconds")
    if grace is not None and grace > 0:
        raise StatusError(400, "For force restart, only gracePeriod=0 is supported for now", details={})
    if grace is not None and grace < 0:
        raise StatusError(400, "gracePeriod has to be greater or equal to 0", details={})
    vm = call.vm()
    if _holds(vm, "VolumesChange"):
        raise call.conflict(RECOVERY_REQUIRED)
    if (strategy := _strategy_of(vm)) in ("Halted", "Once"):
        raise call.conflict(f"RunStategy {strategy} does not support manual restart requests")
    vmi = call.find_vmi()
    if vmi is None:
        raise call.conflict(f"{NOT_RUNNING}: Halted")
    _request(call, vm, _stop(vmi), {"action": "Start"})
    if grace == 0:
        # virt-api deletes the pod with this grace period; there are no pods here, so the VMI says it.
        _set_grace_period(call, call.vmi(), FORCED_RESTART_SECONDS)
    return ACCEPTED


def _strategy_of(vm: Manifest) -> str:
    spec = part(vm, "spec")
    if spec.get("running") is not None and spec.get("runStrategy"):
        raise status.internal("Running and RunStrategy are mutually exclusive")  # older than the webhook
    return run_strategy(vm)


def _phase(vmi: Manifest) -> str:
    return str(part(vmi, "status").get("phase") or "")


def _holds(vm: Manifest, condition: str) -> bool:
    return conditions(vm).get(condition, {}).get("status") == "True"


def _stop(vmi: Manifest) -> Manifest:
    return {"action": "Stop", "uid": metadata(vmi)["uid"]}


def _set_strategy(call: Call, vm: Manifest, *, running: bool) -> None:
    if vm["spec"].get("runStrategy") is None:
        vm["spec"]["running"] = running
    else:
        vm["spec"]["runStrategy"] = "Always" if running else "Halted"
    call.write_vm(vm, part="object")


def _set_grace_period(call: Call, vmi: Manifest, seconds: int) -> None:
    vmi["spec"]["terminationGracePeriodSeconds"] = seconds
    call.write_vmi(vmi, manager=MANAGER)


def _request(call: Call, vm: Manifest, *changes: Manifest) -> None:
    """Leave requests for virt-controller. A single Stop replaces those that are there (getChangeRequestJson)."""
    held = vm.setdefault("status", {})
    if held.get("stateChangeRequests") and [change["action"] for change in changes] != ["Stop"]:
        raise status.internal(UNDERWAY)
    held["stateChangeRequests"] = list(changes)
    held.pop("startFailure", None)
    call.write_vm(vm, part="status")
