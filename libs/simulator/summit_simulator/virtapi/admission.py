"""KubeVirt's admission webhooks, as far as clients notice them (virt-api, webhooks/)."""

from summit_simulator.objects.manifest import Manifest, metadata
from summit_simulator.objects.objects import Objects
from summit_simulator.objects.resources import MIGRATIONS, VIRTUALMACHINES, Resource
from summit_simulator.objects.virtual_machine import FINALIZER
from summit_simulator.virtapi import migration_validator, vm_validator


def admit_create(objects: Objects, resource: Resource, manifest: Manifest, *, user: str = "") -> None:
    """Default and validate a new object. Raises StatusError as the webhook would deny it."""
    meta = metadata(manifest)
    if resource is VIRTUALMACHINES:
        vm_validator.check(objects, manifest)
        # virt-controller adds it at its first sight of the VM; here it comes along at once
        meta.setdefault("finalizers", [FINALIZER])
    elif resource is MIGRATIONS:
        migration_validator.default(manifest)
        migration_validator.check_new(objects, manifest, user=user)


def admit_update(objects: Objects, resource: Resource, manifest: Manifest) -> None:
    if resource is VIRTUALMACHINES:
        vm_validator.check(objects, manifest)
    elif resource is MIGRATIONS:
        migration_validator.check_changed(objects, manifest)
