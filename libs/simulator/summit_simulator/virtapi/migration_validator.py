"""The webhooks of migrations (admitters/migration-create-admitter.go): their order and their words.

They run before the name is looked up. A repeated create whose first migration is in flight is therefore denied with
400 and the uid of that one; only after its end is the answer 409 AlreadyExists.
"""

from summit_simulator.objects import infrastructure, status
from summit_simulator.objects.manifest import Manifest, conditions, key, metadata, part
from summit_simulator.objects.objects import Objects
from summit_simulator.objects.resources import MIGRATIONS, VIRTUALMACHINEINSTANCES
from summit_simulator.objects.status import StatusError
from summit_simulator.objects.virtual_machine_instance import FINAL_PHASES

CREATE_WEBHOOK = "migration-create-validator.kubevirt.io"
UPDATE_WEBHOOK = "migration-update-validator.kubevirt.io"
FINALIZER = "kubevirt.io/migrationJobFinalize"
VMI_NAME_LABEL = "kubevirt.io/vmi-name"
DECENTRALIZED = "DecentralizedLiveMigration"
CONTROLLER = "system:serviceaccount:kubevirt:kubevirt-controller"
MAX_LABEL = 63  # the name of the VMI becomes the value of a label


def default(migration: Manifest) -> None:
    """What the mutating webhook adds: the label to find the migration by, and the finalizer."""
    meta = metadata(migration)
    if name := part(migration, "spec").get("vmiName"):
        meta["labels"] = (meta.get("labels") or {}) | {VMI_NAME_LABEL: name}
    meta.setdefault("finalizers", [FINALIZER])


def check_new(objects: Objects, migration: Manifest, *, user: str) -> None:
    """Raise StatusError 422 for a spec that is wrong in itself, 400 for a VMI that cannot be migrated."""
    spec = part(migration, "spec")
    if len(label := part(migration, "metadata", "labels").get(VMI_NAME_LABEL, "")) > MAX_LABEL:
        cause = "metadata.labels", "FieldValueInvalid", f'Invalid value: "{label}": must be no more than 63 bytes'
        raise status.invalid(MIGRATIONS.kind, MIGRATIONS.group, metadata(migration).get("name", ""), [cause])
    _check_spec(objects, spec, user)
    namespace, name = metadata(migration)["namespace"], spec["vmiName"]
    if "receive" in spec:
        return  # the VMI waits for its memory
    vmi = objects.find(VIRTUALMACHINEINSTANCES, namespace, name)
    if vmi is None:
        raise _denied(f'the VMI "{namespace}/{name}" does not exist')
    if part(vmi, "status").get("phase") in FINAL_PHASES:
        raise _denied("Cannot migrate VMI in finalized state.")
    _check_migratable(vmi, is_decentralized="sendTo" in spec)
    if active := active_migration(objects, namespace, name):
        job = f"Active migration job ({metadata(active)['uid']}) is currently already in progress for VMI {name}."
        raise _denied(f"in-flight migration detected. {job}")


def check_changed(objects: Objects, migration: Manifest) -> None:
    """Raise StatusError 422 if the spec is another one."""
    if objects.read(MIGRATIONS, *key(migration)).get("spec") != migration.get("spec"):
        cause = "", "FieldValueNotSupported", "update of Migration object's spec is restricted"
        raise status.denied_by_causes(UPDATE_WEBHOOK, [cause])


def active_migration(objects: Objects, namespace: str, vmi_name: str) -> Manifest | None:
    """The migration of a VMI that is not final yet."""
    for other in objects.every(MIGRATIONS, namespace, labels={VMI_NAME_LABEL: vmi_name}):
        if part(other, "status").get("phase") not in FINAL_PHASES:
            return other
    return None


def _check_spec(objects: Objects, spec: Manifest, user: str) -> None:
    if not spec.get("vmiName"):
        raise _denied_field("spec.vmiName", "FieldValueRequired", "vmiName is missing")
    if spec.get("priority") and user != CONTROLLER:
        message = "priority can only be set by virt-controller"
        raise _denied_field("spec.priority", "FieldValueForbidden", message)
    if "sendTo" not in spec and "receive" not in spec:
        return
    if not infrastructure.has_feature_gate(objects, DECENTRALIZED):
        message = f"{DECENTRALIZED} feature gate is not enabled in kubevirt resource"
        raise _denied_field("spec", "FieldValueInvalid", message)
    ours, theirs = (part(spec, end).get("migrationID") for end in ("sendTo", "receive"))
    if "sendTo" in spec and "receive" in spec and ours != theirs:
        message = f"sendTo migrationID {ours} does not match receive migrationID {theirs}"
        raise _denied_field("spec", "FieldValueInvalid", message)


def _check_migratable(vmi: Manifest, *, is_decentralized: bool) -> None:
    found = conditions(vmi).get("LiveMigratable", {})
    reason, message = found.get("reason"), found.get("message")
    # Storage moves along in a decentralized migration.
    if found.get("status") == "False" and not (is_decentralized and reason == "DisksNotLiveMigratable"):
        raise _denied(f"Cannot migrate VMI, Reason: {reason}, Message: {message}")


def _denied(why: str) -> StatusError:
    return status.denied(CREATE_WEBHOOK, why)


def _denied_field(path: str, reason: str, message: str) -> StatusError:
    return status.denied_by_causes(CREATE_WEBHOOK, [(path, reason, message)])
