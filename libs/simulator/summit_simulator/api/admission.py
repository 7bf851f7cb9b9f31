"""KubeVirt's admission webhooks, as far as clients notice them (virt-api, webhooks/)."""

from summit_simulator.objects import status
from summit_simulator.objects.manifest import Manifest, conditions, metadata
from summit_simulator.objects.objects import Objects
from summit_simulator.objects.resources import MIGRATIONS, VIRTUALMACHINEINSTANCES, VIRTUALMACHINES, Resource
from summit_simulator.objects.status import StatusError
from summit_simulator.objects.virtual_machine import FINALIZER

MIGRATION_WEBHOOK = "migration-create-validator.kubevirt.io"
MIGRATION_UPDATE_WEBHOOK = "migration-update-validator.kubevirt.io"
VM_WEBHOOK = "virtualmachine-validator.kubevirt.io"
FINAL_PHASES = ("Succeeded", "Failed")


def admit_create(objects: Objects, resource: Resource, manifest: Manifest) -> None:
    """Default and validate a new object. Raises StatusError as the webhook would deny it."""
    if resource is VIRTUALMACHINES:
        _check_virtual_machine(manifest)
        # virt-controller adds it at its first sight of the VM; here it comes along at once
        metadata(manifest).setdefault("finalizers", [FINALIZER])
    elif resource is MIGRATIONS:
        _check_migration(objects, manifest)
        default_migration(manifest)


def admit_update(objects: Objects, resource: Resource, manifest: Manifest) -> None:
    """Validate a changed object."""
    if resource is VIRTUALMACHINES:
        _check_virtual_machine(manifest)
    elif resource is MIGRATIONS:
        current = objects.read(resource, *_key(manifest))
        if current.get("spec") != manifest.get("spec"):
            message = "update of Migration object's spec is restricted"
            raise status.denied(MIGRATION_UPDATE_WEBHOOK, message, code=422)


def default_migration(manifest: Manifest) -> None:
    """What the mutating webhook adds: the label to find it by, and the finalizer."""
    meta = metadata(manifest)
    meta["labels"] = (meta.get("labels") or {}) | {"kubevirt.io/vmi-name": manifest["spec"]["vmiName"]}
    meta.setdefault("finalizers", ["kubevirt.io/migrationJobFinalize"])


def active_migration(objects: Objects, namespace: str, vmi_name: str) -> Manifest | None:
    """The migration of a VMI that is not final yet."""
    for migration in objects.every(MIGRATIONS, namespace, labels={"kubevirt.io/vmi-name": vmi_name}):
        is_final = (migration.get("status") or {}).get("phase") in FINAL_PHASES
        if not is_final:
            return migration
    return None


def _check_virtual_machine(manifest: Manifest) -> None:
    spec = manifest.get("spec") or {}
    if not isinstance(spec.get("template"), dict):
        cause = ("spec.template", "FieldValueRequired", "Required value")
        name = metadata(manifest).get("name", "")
        raise status.invalid("VirtualMachine", "kubevirt.io", name, [cause])
    if spec.get("running") is not None and spec.get("runStrategy"):
        raise status.denied(VM_WEBHOOK, "Running and RunStrategy are mutually exclusive", code=422)


def _check_migration(objects: Objects, manifest: Manifest) -> None:
    spec = manifest.get("spec") or {}
    name = spec.get("vmiName")
    if not name:
        raise status.denied(MIGRATION_WEBHOOK, "vmiName is missing", code=422)
    namespace = metadata(manifest)["namespace"]
    vmi = objects.find(VIRTUALMACHINEINSTANCES, namespace, name)
    if vmi is None:
        raise status.denied(MIGRATION_WEBHOOK, f'the VMI "{namespace}/{name}" does not exist')
    if (vmi.get("status") or {}).get("phase") in FINAL_PHASES:
        raise status.denied(MIGRATION_WEBHOOK, "Cannot migrate VMI in finalized state.")
    migratable = conditions(vmi).get("LiveMigratable")
    if migratable and migratable["status"] == "False":
        raise _not_migratable(migratable)
    if running := active_migration(objects, namespace, name):
        uid = metadata(running)["uid"]
        job = f"Active migration job ({uid}) is currently already in progress for VMI {name}."
        raise status.denied(MIGRATION_WEBHOOK, f"in-flight migration detected. {job}")


def _not_migratable(condition: Manifest) -> StatusError:
    why = f"Cannot migrate VMI, Reason: {condition.get('reason')}, Message: {condition.get('message')}"
    return status.denied(MIGRATION_WEBHOOK, why)


def _key(manifest: Manifest) -> tuple[str, str]:
    meta = metadata(manifest)
    return meta.get("namespace", ""), meta["name"]
