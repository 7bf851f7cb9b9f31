"""CDI and the garbage collector: the DataVolumes of a VM, from their import to their end."""

from summit_simulator.controllers.decisions import IMPORT_STEPS
from summit_simulator.objects import data_volume
from summit_simulator.objects.clock import Clock
from summit_simulator.objects.manifest import Manifest, key, metadata, part
from summit_simulator.objects.objects import Objects
from summit_simulator.objects.resources import DATA_VOLUMES

CONTROLLER, IMPORTER = "virt-controller", "cdi-controller"


def import_further(objects: Objects, clock: Clock, vm: Manifest) -> bool:
    """Bring the DataVolumes of a VM a step further; whether all are complete."""
    volumes = [_imported(objects, clock, volume) for volume in _volumes_of(objects, vm)]
    return all(data_volume.is_complete(volume) for volume in volumes)


def delete_owned(objects: Objects, vm: Manifest) -> None:
    """What the garbage collector does when the owner is deleted, unless they were orphaned."""
    for volume in _owned(objects, vm):
        if metadata(volume).get("ownerReferences"):
            objects.delete(DATA_VOLUMES, *key(volume))


def orphan_owned(objects: Objects, vm: Manifest) -> None:
    """Let the DataVolumes outlive their VM."""
    for volume in _owned(objects, vm):
        metadata(volume).pop("ownerReferences", None)
        objects.update(DATA_VOLUMES, volume, manager="kube-controller-manager", part="all")


def _owned(objects: Objects, vm: Manifest) -> list[Manifest]:
    meta = metadata(vm)
    return list(objects.every(DATA_VOLUMES, meta["namespace"], labels={"kubevirt.io/created-by": meta["uid"]}))


def _volumes_of(objects: Objects, vm: Manifest) -> list[Manifest]:
    """The DataVolumes of the VM's templates, created where they are missing."""
    volumes = []
    for template in part(vm, "spec").get("dataVolumeTemplates") or ():
        place = metadata(vm)["namespace"], metadata(template)["name"]
        if objects.find(DATA_VOLUMES, *place) is None:
            objects.create(DATA_VOLUMES, data_volume.data_volume(vm, template), manager=CONTROLLER)
        volumes.append(objects.read(DATA_VOLUMES, *place))
    return volumes


def _imported(objects: Objects, clock: Clock, volume: Manifest) -> Manifest:
    if data_volume.is_complete(volume):
        return volume
    data_volume.report(volume, data_volume.percent_after(volume, 100 / IMPORT_STEPS), clock.now())
    objects.update(DATA_VOLUMES, volume, manager=IMPORTER, part="status")
    return volume
