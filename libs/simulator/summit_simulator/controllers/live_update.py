"""What an edit of a VM's template means for the VMI that runs: a live update, or a restart (watch/vm/vm.go, hotplug).

Sockets and guest memory may grow up to maxSockets and maxGuest: the VMI is patched, shows HotVCPUChange or
HotMemoryChange, and gets the new size by a migration of the workload updater. Everything else needs a restart.
"""

from typing import NamedTuple

from summit_simulator.objects.manifest import Manifest, conditions, metadata, part, size_in_bytes

GENERATION = "kubevirt.io/vm-generation"  # annotation of the VMI: the generation of the VM that it was made of
NOT_LIVE_UPDATABLE = "a non-live-updatable field was changed in the template spec"
_LIVE_UPDATABLE = ("nodeSelector", "affinity", "tolerations")
# What virt-api and virt-controller set on a VMI beside its template.
_OWN = ("startStrategy", "terminationGracePeriodSeconds")


class Update(NamedTuple):
    """What to do: nothing for now, patch the spec of the VMI, or ask for a restart; `is_done`: nothing differs."""

    spec: Manifest | None = None
    condition: str | None = None  # of the VMI, beside the new spec
    restart_required: str | None = None
    is_done: bool = False


def is_outdated(vm: Manifest, vmi: Manifest) -> bool:
    """Whether the VM was edited since the VMI was made of it. A VM that waits for its restart is left alone."""
    made_of = part(vmi, "metadata", "annotations").get(GENERATION)
    generation = str(metadata(vm).get("generation", 1))
    return made_of not in (None, generation) and "RestartRequired" not in conditions(vm)


def live_update(wanted: Manifest, vmi: Manifest, *, only_at_restart: bool) -> Update:
    """The next step towards `wanted`, the spec that a new VMI would have."""
    current = part(vmi, "spec")
    if _without_live_updatable(wanted) != _without_live_updatable(current):
        return Update(restart_required=NOT_LIVE_UPDATABLE)
    try:
        update = _sockets(wanted, current, vmi) or _memory(wanted, current, vmi)
    except (KeyError, ValueError):  # a size that no webhook would have let through
        return Update(restart_required=NOT_LIVE_UPDATABLE)
    if update is not None:
        return Update(restart_required=NOT_LIVE_UPDATABLE) if only_at_restart else update
    placed = {name: wanted[name] for name in _LIVE_UPDATABLE if name in wanted}
    rest = {name: value for name, value in current.items() if name not in _LIVE_UPDATABLE}
    return Update(is_done=True) if rest | placed == current else Update(spec=rest | placed)


def _sockets(wanted: Manifest, current: Manifest, vmi: Manifest) -> Update | None:
    new, old = (part(spec, "domain", "cpu") for spec in (wanted, current))
    count, held = new.get("sockets", 1), old.get("sockets", 1)
    if count == held:
        return None
    if "HotVCPUChange" in conditions(vmi) or _is_migrating(vmi):
        return Update()
    if count > old.get("maxSockets", held):
        why = "CPU sockets updated in template spec to a value higher than what's available"
        return Update(restart_required=why)
    if count < held:
        return Update(restart_required="Reduction of CPU socket count requires a restart")
    return Update(_with(current, "cpu", old | {"sockets": count}), "HotVCPUChange")


def _memory(wanted: Manifest, current: Manifest, vmi: Manifest) -> Update | None:
    new, old = (part(spec, "domain", "memory") for spec in (wanted, current))
    size, held = size_in_bytes(new["guest"]), size_in_bytes(old["guest"])
    if size == held:
        return None
    if "HotMemoryChange" in conditions(vmi) or _is_migrating(vmi):
        return Update()
    if size < size_in_bytes(part(vmi, "status", "memory").get("guestAtBoot", old["guest"])):
        why = "memory updated in template spec to a value lower than what the VM started with"
        return Update(restart_required=why)
    if size > size_in_bytes(old.get("maxGuest", old["guest"])):
        why = "memory updated in template spec to a value higher than what's available"
        return Update(restart_required=why)
    return Update(_with(current, "memory", old | {"guest": new["guest"]}), "HotMemoryChange")


def _is_migrating(vmi: Manifest) -> bool:
    state = part(vmi, "status", "migrationState")
    return bool(state) and not state.get("completed")


def _with(spec: Manifest, member: str, value: Manifest) -> Manifest:
    return spec | {"domain": spec["domain"] | {member: value}}


def _without_live_updatable(spec: Manifest) -> Manifest:
    rest = {name: value for name, value in spec.items() if name not in (*_LIVE_UPDATABLE, *_OWN)}
    domain = part(rest, "domain")
    # What follows from sockets and memory is compared there.
    cpu = part(domain, "cpu")
    domain["cpu"] = {name: value for name, value in cpu.items() if name not in ("sockets", "maxSockets")}
    for derived in ("memory", "resources"):
        domain.pop(derived, None)
    return rest | {"domain": domain}
