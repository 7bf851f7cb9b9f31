"""KubeVirt's admission webhooks, as far as clients notice them (virt-api, webhooks/)."""

from summit_simulator.objects import status
from summit_simulator.objects.manifest import Manifest, conditions, key, metadata, part
from summit_simulator.objects.objects import Objects
from summit_simulator.objects.resources import MIGRATIONS, VIRTUALMACHINEINSTANCES, VIRTUALMACHINES, Resource
from summit_simulator.objects.virtual_machine import FINALIZER, RUN_STRATEGIES
from summit_simulator.objects.virtual_machine_instance import FINAL_PHASES

MIGRATION_WEBHOOK = "migration-create-validator.kubevirt.io"
MIGRATION_UPDATE_WEBHOOK = "migration-update-validator.kubevirt.io"
VM_WEBHOOK = "virtualmachine-validator.kubevirt.io"


def admit_create(objects: Objects, resource: Resource, manifest: Manifest) -> None:
    """Default and validate a new object. Raises StatusError as the webhook would deny it."""
    meta = metadata(manifest)
    if resource is VIRTUALMACHINES:
        _check_virtual_machine(manifest)
        # virt-controller adds it at its first sight of the VM; here it comes along at once
        meta.setdefault("finalizers", [FINALIZER])
    elif resource is MIGRATIONS:
        _check_migration(objects, manifest)
        meta["labels"] = (meta.get("labels") or {}) | {"kubevirt.io/vmi-name": manifest["spec"]["vmiName"]}
        meta.setdefault("finalizers", ["kubevirt.io/migrationJobFinalize"])


def admit_update(objects: Objects, resource: Resource, manifest: Manifest) -> None:
    if resource is VIRTUALMACHINES:
        _check_virtual_machine(manifest)
    elif resource is MIGRATIONS and objects.read(resource, *key(manifest)).get("spec") != manifest.get("spec"):
        raise status.denied(MIGRATION_UPDATE_WEBHOOK, "update of Migration object's spec is restricted", code=422)


def _check_virtual_machine(manifest: Manifest) -> None:
    spec = part(manifest, "spec")
    if not isinstance(spec.get("template"), dict):
        cause = ("spec.template", "FieldValueRequired", "Required value")
        raise status.invalid("VirtualMachine", "kubevirt.io", metadata(manifest).get("name", ""), [cause])
    if spec.get("running") is not None and spec.get("runStrategy"):
        raise status.denied(VM_WEBHOOK, "Running and RunStrategy are mutually exclusive", code=422)
    if (strategy := spec.get("runStrategy")) and strategy not in RUN_STRATEGIES:
        raise status.denied(VM_WEBHOOK, f"Invalid RunStrategy ({strategy})", code=422)


def _check_migration(objects: Objects, manifest: Manifest) -> None:
    name = part(manifest, "spec").get("vmiName")
    if not name:
        raise status.denied(MIGRATION_WEBHOOK, "vmiName is missing", code=422)
    namespace = metadata(manifest)["namespace"]
    vmi = objects.find(VIRTUALMACHINEINSTANCES, namespace, name)
    if vmi is None:
        raise status.denied(MIGRATION_WEBHOOK, f'the VMI "{namespace}/{name}" does not exist')
    if part(vmi, "status").get("phase") in FINAL_PHASES:
        raise status.denied(MIGRATION_WEBHOOK, "Cannot migrate VMI in finalized state.")
    migratable = conditions(vmi).get("LiveMigratable", {})
    if migratable.get("status") == "False":
        why = f"Cannot migrate VMI, Reason: {migratable.get('reason')}, Message: {migratable.get('message')}"
        raise status.denied(MIGRATION_WEBHOOK, why)
    for other in objects.every(MIGRATIONS, namespace, labels={"kubevirt.io/vmi-name": name}):
        if part(other, "status").get("phase") not in FINAL_PHASES:
            job = f"Active migration job ({metadata(other)['uid']}) is currently already in progress for VMI {name}."
            raise status.denied(MIGRATION_WEBHOOK, f"in-flight migration detected. {job}")
