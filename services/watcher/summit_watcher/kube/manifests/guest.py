"""The guest, as the template of a VirtualMachine and a VirtualMachineInstance describe it."""

from summit_watcher.kube.bounds import Message, QuantityText, Text
from summit_watcher.kube.manifests.metadata import Part, Present

Quantity = QuantityText | int | float | None
"""A Kubernetes quantity as written. The CRDs say `x-kubernetes-int-or-string`, so numbers are legal."""


class ResourceList(Part):
    cpu: Quantity = None
    memory: Quantity = None
    storage: Quantity = None


class Resources(Part):
    requests: ResourceList | None = None
    limits: ResourceList | None = None


class CpuTopology(Part):
    sockets: int | None = None
    cores: int | None = None
    threads: int | None = None


class Hugepages(Part):
    page_size: Quantity = None


class Memory(Part):
    guest: Quantity = None
    hugepages: Hugepages | None = None


class DiskDevice(Part):
    name: Text | None = None
    cdrom: Present | None = None


class Filesystem(Part):
    name: Text | None = None


class Devices(Part):
    disks: list[DiskDevice | None] | None = None
    filesystems: list[Filesystem | None] | None = None
    """Shares by virtiofs: a volume that is one is no disk."""


class Firmware(Part):
    uuid: Text | None = None


class Machine(Part):
    type: Text | None = None


class Domain(Part):
    cpu: CpuTopology | None = None
    memory: Memory | None = None
    resources: Resources | None = None
    devices: Devices | None = None
    firmware: Firmware | None = None
    machine: Machine | None = None


class DataVolumeSource(Part):
    name: Text | None = None


class ClaimSource(Part):
    claim_name: Text | None = None


class Volume(Part):
    name: Text | None = None
    data_volume: DataVolumeSource | None = None
    persistent_volume_claim: ClaimSource | None = None


class Network(Part):
    name: Text | None = None
    pod: Present | None = None


class InstanceSpec(Part):
    domain: Domain | None = None
    volumes: list[Volume | None] | None = None
    networks: list[Network | None] | None = None


class Condition(Part):
    type: Text | None = None
    status: Text | None = None
    reason: Text | None = None
    message: Message | None = None
