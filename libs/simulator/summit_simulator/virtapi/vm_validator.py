"""The schema and the webhook of VMs (admitters/vms-admitter.go): what a new or changed VM may look like."""

from collections.abc import Iterator

from summit_simulator.objects import infrastructure, status
from summit_simulator.objects.manifest import Manifest, metadata, part, size_in_bytes
from summit_simulator.objects.objects import Objects
from summit_simulator.objects.virtual_machine import RUN_STRATEGIES
from summit_simulator.virtapi.migration_validator import DECENTRALIZED

WEBHOOK = "virtualmachine-validator.kubevirt.io"
DOMAIN = "spec.template.spec.domain"
# pkg/virt-launcher/virtwrap/converter, MemoryHotplugBlockAlignmentBytes
MEMORY_BLOCK_BYTES = 2 * 1024 * 1024

Cause = tuple[str, str, str]  # field, reason, message


def check(objects: Objects, vm: Manifest) -> None:
    """Raise StatusError 422, either of the apiserver for the schema or of the webhook for the rest."""
    if causes := list(_against_schema(vm)):
        raise status.invalid("VirtualMachine", "kubevirt.io", metadata(vm).get("name", ""), causes)
    spec = part(vm, "spec")
    domain = part(spec, "template", "spec", "domain")
    causes = [*_about_run_strategy(objects, spec), *_about_instancetype(spec, domain)]
    if infrastructure.configuration(objects).get("vmRolloutStrategy") != "Stage":
        causes += [*_about_sockets(domain), *_about_memory(domain)]
    if causes:
        raise status.denied_by_causes(WEBHOOK, causes)


def _against_schema(vm: Manifest) -> Iterator[Cause]:
    spec = part(vm, "spec")
    if not isinstance(spec.get("template"), dict):
        yield "spec.template", "FieldValueRequired", "Required value"
    domain = part(spec, "template", "spec", "domain")
    for member in ("sockets", "cores", "threads", "maxSockets"):
        value = part(domain, "cpu").get(member, 0)
        if type(value) is not int:
            path = f"{DOMAIN}.cpu.{member}"
            kind = "string" if isinstance(value, str) else "number"
            message = f'Invalid value: "{kind}": {path} in body must be of type integer: "{kind}"'
            yield path, "FieldValueTypeInvalid", message
    for member in ("guest", "maxGuest"):
        value = part(domain, "memory").get(member)
        if value is not None and _bytes(value) is None:
            path = f"{DOMAIN}.memory.{member}"
            yield path, "FieldValueInvalid", f'Invalid value: "{value}": {path} in body should match a quantity'


def _about_run_strategy(objects: Objects, spec: Manifest) -> Iterator[Cause]:
    strategy, path = spec.get("runStrategy"), "spec.runStrategy"
    if spec.get("running") is not None and strategy:
        yield "spec.running", "FieldValueInvalid", "Running and RunStrategy are mutually exclusive"
    if spec.get("running") is None and not strategy:
        yield "spec.running", "FieldValueInvalid", "RunStrategy must be specified"
    if strategy == "WaitAsReceiver" and not infrastructure.has_feature_gate(objects, DECENTRALIZED):
        why = f"{DECENTRALIZED} feature gate is not enabled in kubevirt resource"
        yield path, "FieldValueInvalid", f"Invalid RunStrategy ({strategy}), {why}"
    elif strategy and strategy not in RUN_STRATEGIES:
        yield path, "FieldValueInvalid", f"Invalid RunStrategy ({strategy})"


def _about_instancetype(spec: Manifest, domain: Manifest) -> Iterator[Cause]:
    if not spec.get("instancetype"):
        return
    given = [f"cpu.{member}" for member in ("sockets", "cores", "threads") if part(domain, "cpu").get(member)]
    given += ["memory.guest"] if part(domain, "memory").get("guest") else []
    for kind in ("requests", "limits"):
        held = part(domain, "resources", kind)
        given += [f"resources.{kind}.{member}" for member in ("cpu", "memory") if member in held]
    for member in given:
        path = f"{DOMAIN}.{member}"
        yield path, "FieldValueInvalid", f"VM field(s) {path} conflicts with selected instance type"


def _about_sockets(domain: Manifest) -> Iterator[Cause]:
    cpu = part(domain, "cpu")
    sockets, most = cpu.get("sockets", 0), cpu.get("maxSockets", 0)
    if sockets and most and sockets > most:
        message = "Number of sockets in CPU topology is greater than the maximum sockets allowed"
        yield f"{DOMAIN}.cpu.sockets", "FieldValueInvalid", message


def _about_memory(domain: Manifest) -> Iterator[Cause]:
    memory = part(domain, "memory")
    guest, most = _bytes(memory.get("guest")), _bytes(memory.get("maxGuest"))
    if guest is None or most is None:
        return
    path = f"{DOMAIN}.memory.guest"
    if guest > most:
        yield path, "FieldValueInvalid", "Guest memory is greater than the configured maxGuest memory"
    if guest % MEMORY_BLOCK_BYTES:
        yield path, "FieldValueInvalid", "Guest memory must be 2Mi aligned"


def _bytes(quantity: object) -> int | None:
    try:
        return size_in_bytes(quantity)
    except ValueError:
        return None
