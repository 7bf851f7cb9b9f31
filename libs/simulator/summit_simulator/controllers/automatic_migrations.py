"""Migrations that nobody asked for: off a node that is drained, and to give a guest the size it grew to.

KubeVirt tells them apart by annotations and by the prefix of their names (kubevirt.md 8.2).
"""

from summit_simulator.controllers.decisions import phase_of
from summit_simulator.objects.manifest import Manifest, conditions, key, metadata, part
from summit_simulator.objects.objects import Objects
from summit_simulator.objects.resources import MIGRATIONS, NODES, VIRTUALMACHINEINSTANCES
from summit_simulator.objects.virtual_machine_instance import FINAL_PHASES

EVACUATION = "kubevirt.io/evacuationMigration"  # its value is the node
WORKLOAD_UPDATE = "kubevirt.io/workloadUpdateMigration"
CONTROLLER = "virt-controller"


def drain(objects: Objects, node: str) -> None:
    """`kubectl drain`: cordon a node and migrate its VMIs; the eviction of those that cannot be migrated is denied."""
    manifest = objects.read(NODES, "", node)
    manifest["spec"]["unschedulable"] = True
    objects.update(NODES, manifest, part="all")
    for vmi in list(objects.every(VIRTUALMACHINEINSTANCES, labels={"kubevirt.io/nodeName": node})):
        if part(vmi, "spec").get("evictionStrategy") == "LiveMigrate" and _may_be_migrated(objects, vmi):
            vmi["status"]["evacuationNodeName"] = node
            objects.update(VIRTUALMACHINEINSTANCES, vmi, manager="virt-api", part="all")
            _create(objects, vmi, "kubevirt-evacuation-", {EVACUATION: node})


def update_workload(objects: Objects, vmi: Manifest) -> None:
    """Bring the guest a pod of its new size."""
    if _may_be_migrated(objects, vmi):
        _create(objects, vmi, "kubevirt-workload-update-", {WORKLOAD_UPDATE: ""})


def _may_be_migrated(objects: Objects, vmi: Manifest) -> bool:
    namespace, name = key(vmi)
    others = objects.every(MIGRATIONS, namespace, labels={"kubevirt.io/vmi-name": name})
    is_migratable = conditions(vmi).get("LiveMigratable", {}).get("status") == "True"
    return is_migratable and all(phase_of(other) in FINAL_PHASES for other in others)


def _create(objects: Objects, vmi: Manifest, prefix: str, annotations: Manifest) -> None:
    meta = {
        "generateName": prefix,
        "namespace": metadata(vmi)["namespace"],
        "annotations": annotations,
        "labels": {"kubevirt.io/vmi-name": metadata(vmi)["name"]},
        "finalizers": ["kubevirt.io/migrationJobFinalize"],
    }
    migration: Manifest = {"metadata": meta, "spec": {"vmiName": metadata(vmi)["name"]}}
    objects.create(MIGRATIONS, migration, manager=CONTROLLER)
