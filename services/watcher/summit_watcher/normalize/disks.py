"""How much persistent disk the guest has: the provisioned capacity of its claims.

Counted is each dataVolume or persistentVolumeClaim once, unless its device is a cdrom or it is a virtiofs share. Not
counted: containerDisk, emptyDisk, ephemeral, cloud-init and the like, memory dumps, utility volumes, and KubeVirt's own
state volumes.

A size has two sources. The template's dataVolumeTemplates have the request; the instance's volumeStatus has the claim
as it is, and the last instance's is remembered claim by claim while the VM is stopped. The request wins, since it is
the same whether the VM runs or not, unless the claim is more than 12 % larger: CDI adds at most 6 % for the filesystem,
so somebody has expanded such a volume. A Block claim has no filesystem, and is as large as it is.
Source for min(requests, capacity): pkg/storage/types/pvc.go GetDiskCapacity.
"""

import sys
from collections.abc import Iterable

import msgspec

from summit_watcher.kube.manifests.guest import InstanceSpec, Quantity, Volume
from summit_watcher.kube.manifests.instance import ClaimInfo, VirtualMachineInstance
from summit_watcher.kube.manifests.virtualmachine import DataVolumeTemplate, VirtualMachine
from summit_watcher.normalize.facts import text, unreadable
from summit_watcher.normalize.quantity import MAX_VALUE, Figure, measured, shown, unknown


class Disk(msgspec.Struct, frozen=True, gc=False):
    """A claim that the guest has as a disk."""

    volume: str
    claim: str
    """The same claim in two volumes is one disk. Empty: the volume names none."""
    size: Figure | None
    """In bytes; None if the object that names the disk does not have it."""
    is_block: bool = False
    """A claim with volumeMode Block."""


def template_disks(vm: VirtualMachine) -> tuple[Disk, ...] | None:
    """Disks of a VirtualMachine, with the sizes its dataVolumeTemplates request. None if they are unreadable."""
    spec = vm.spec
    guest = spec.template.spec if spec and spec.template else None
    if spec is None or guest is None:
        return None
    if vm.decode_problems and unreadable(
        vm.decode_problems,
        "spec.dataVolumeTemplates",
        "spec.template.spec.volumes",
        "spec.template.spec.domain.devices.disks",
    ):
        return None
    requested = {
        name: request
        for template in spec.data_volume_templates or ()
        if template and template.metadata and (name := template.metadata.name)
        and (request := _request(template)) is not None
    }  # fmt: skip
    return tuple(
        Disk(volume, claim, _size(volume, requested[claim]) if claim in requested else None)
        for volume, claim in _claims(guest)
    )


def claims_of(vm: VirtualMachine) -> tuple[str, ...]:
    """Names of all claims of a VirtualMachine, those of cdroms included."""
    guest = vm.spec.template.spec if vm.spec and vm.spec.template else None
    volumes = guest.volumes if guest else None
    return tuple(sys.intern(claim) for volume in volumes or () if volume is not None and (claim := _claim(volume)))


def instance_disks(vmi: VirtualMachineInstance) -> tuple[Disk, ...] | None:
    """Disks of an instance, hotplugged ones included, with the sizes of their claims. None if they are unreadable."""
    if vmi.spec is None:
        return None
    if vmi.decode_problems and unreadable(
        vmi.decode_problems, "spec.volumes", "spec.domain.devices.disks", "status.volumeStatus"
    ):
        return None
    statuses = vmi.status.volume_status if vmi.status else None
    claims = {s.name: s.persistent_volume_claim_info for s in statuses or () if s is not None}
    return tuple(_of_instance(volume, claim, claims.get(volume)) for volume, claim in _claims(vmi.spec))


def _of_instance(volume: str, claim: str, info: ClaimInfo | None) -> Disk:
    return Disk(volume, claim, _provisioned(volume, info), info is not None and info.volume_mode == "Block")


def _claims(guest: InstanceSpec) -> list[tuple[str, str]]:
    """Volume and claim of each persistent volume that is a disk."""
    devices = guest.domain.devices if guest.domain else None
    no_disks = {device.name for device in (devices and devices.disks) or () if device and device.cdrom is not None}
    no_disks |= {share.name for share in (devices and devices.filesystems) or () if share}
    claims = []
    for volume in guest.volumes or ():
        if volume is not None and (claim := _claim(volume)) is not None:
            name = text(volume.name) or claim
            if name not in no_disks:
                claims.append((name, sys.intern(claim)))
    return claims


def _claim(volume: Volume) -> str | None:
    """Name of the claim; a DataVolume's claim has its name. None if the volume is not a claim."""
    if volume.data_volume is not None:
        return volume.data_volume.name or ""
    if volume.persistent_volume_claim is not None:
        return volume.persistent_volume_claim.claim_name or ""
    return None


def _request(template: DataVolumeTemplate) -> Quantity:
    """Absent when CDI infers the size from the source."""
    for claim in (template.spec.storage, template.spec.pvc) if template.spec else ():
        if claim and claim.resources and claim.resources.requests and claim.resources.requests.storage is not None:
            return claim.resources.requests.storage
    return None


def _provisioned(volume: str, claim: ClaimInfo | None) -> Figure | None:
    """The smaller of the request and the capacity, as far as they are readable."""
    if claim is None:
        return None
    request = _size(volume, claim.requests.storage) if claim.requests else None
    capacity = _size(volume, claim.capacity.storage) if claim.capacity else None
    if request is None or capacity is None or capacity.value is None:
        return request or capacity
    return request if request.value is not None and request.value <= capacity.value else capacity


def _size(volume: str, written: Quantity) -> Figure | None:
    if written is None:
        return None
    size = measured("disk", written)
    return unknown(f"{size.problem} as size of volume {shown(volume)}") if size.problem else size


def disk_bytes(
    disks: Iterable[Disk], requested: Iterable[Disk], provisioned: Iterable[Disk], remembered: Iterable[Disk]
) -> Figure:
    """Sum of the disks' sizes; unknown as soon as one is, and the sentence names each such volume.

    The sizes of their claims: those that the template requests, those that the instance has, and those that the last
    instance had.
    """
    requests, claims = {disk.claim: disk.size for disk in requested}, {disk.claim: disk for disk in remembered}
    claims |= {disk.claim: disk for disk in provisioned if disk.size or disk.claim not in claims}
    total, problems, seen = 0, [], set()
    for disk in disks:
        if disk.claim in seen:
            continue
        seen.add(disk.claim)
        request, claim = requests.get(disk.claim), claims.get(disk.claim)
        size = _one_size(request, claim)
        if size is None:
            bad = (claim and claim.size) or request
            reason = bad.problem if bad else None
            problems.append(reason or f"disk: size of volume {shown(disk.volume)} is unknown")
        else:
            total += size
    if total > MAX_VALUE:
        problems.append("disk: the sum of the sizes is out of range")
    return unknown("; ".join(problems)) if problems else Figure(total)


def _one_size(requested: Figure | None, provisioned: Disk | None) -> int | None:
    request = requested.value if requested else None
    claim = provisioned.size.value if provisioned and provisioned.size else None
    if request is None or claim is None:
        return claim if request is None else request
    is_expanded = claim * 100 > request * 112 or (provisioned is not None and provisioned.is_block)
    return claim if is_expanded else request
