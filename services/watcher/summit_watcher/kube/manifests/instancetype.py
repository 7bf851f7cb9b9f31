"""VirtualMachineInstancetype and VirtualMachineClusterInstancetype, v1beta1."""

from summit_watcher.kube.manifests.guest import Quantity
from summit_watcher.kube.manifests.metadata import Manifest, Part


class InstancetypeCpu(Part):
    guest: int | None = None


class InstancetypeMemory(Part):
    guest: Quantity = None


class InstancetypeSpec(Part):
    cpu: InstancetypeCpu | None = None
    memory: InstancetypeMemory | None = None


class Instancetype(Manifest):
    """Of a cluster, or of a namespace: the latter has `metadata.namespace`."""

    spec: InstancetypeSpec | None = None
