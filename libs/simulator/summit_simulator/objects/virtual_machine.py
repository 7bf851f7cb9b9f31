"""The VirtualMachine object: what a user writes, and the status that virt-controller derives."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from summit_simulator.objects.guests import GUESTS
from summit_simulator.objects.manifest import Manifest, part

FINALIZER = "kubevirt.io/virtualMachineControllerFinalize"
RUN_STRATEGIES = frozenset({"Always", "Halted", "Manual", "RerunOnFailure", "Once", "WaitAsReceiver"})
STORAGE_CLASS = "ocs-storagecluster-ceph-rbd-virtualization"


class Size(NamedTuple):
    """How big: by instancetype, or cores and memory."""

    cores: int = 1
    memory: str = "2Gi"
    instancetype: str | None = None


class Disks(NamedTuple):
    """DataVolumes that the VM brings along, and claims that exist already."""

    templates: Sequence[str] = ("20Gi",)  # sizes; the first is the root disk
    claims: Sequence[str] = ()  # names of PersistentVolumeClaims


def virtual_machine(
    name: str,
    namespace: str,
    *,
    size: Size,
    disks: Disks,
    run_strategy: str = "Halted",
    labels: Mapping[str, str] | None = None,
    os: str = "fedora",
    vlan: str | None = None,
) -> Manifest:
    """A VirtualMachine of realistic size and shape (compare reference sample vm-running-instancetype.json)."""
    labels = dict(labels or {"app": name})
    spec: Manifest = {
        "dataVolumeTemplates": [_template(name, index, text, os) for index, text in enumerate(disks.templates)],
        "runStrategy": run_strategy,
        "template": _instance_template(name, size, disks, labels=labels, os=os, vlan=vlan),
    }
    if size.instancetype:
        spec["instancetype"] = {"kind": "VirtualMachineClusterInstancetype", "name": size.instancetype}
    if not spec["dataVolumeTemplates"]:
        del spec["dataVolumeTemplates"]
    annotations = {
        "kubevirt.io/latest-observed-api-version": "v1",
        "kubevirt.io/storage-observed-api-version": "v1",
        "description": f"{GUESTS[os].name} machine {name}",
    }
    meta = {"name": name, "namespace": namespace, "labels": labels, "annotations": annotations}
    meta["finalizers"] = [FINALIZER]
    return {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "metadata": meta, "spec": spec}


def volume_name(vm_name: str, index: int) -> str:
    """DataVolumes are named after their VM; DataVolume and claim share the name."""
    return f"{vm_name}-root" if index == 0 else f"{vm_name}-disk-{index}"


def _template(name: str, index: int, size: str, os: str) -> Manifest:
    source = {"sourceRef": {"kind": "DataSource", "name": os, "namespace": "openshift-virtualization-os-images"}}
    blank: Manifest = {"source": {"blank": {}}}
    storage = {"resources": {"requests": {"storage": size}}, "storageClassName": STORAGE_CLASS}
    meta = {"creationTimestamp": None, "name": volume_name(name, index)}
    return {"metadata": meta, "spec": (blank if index else source) | {"storage": storage}}


def _instance_template(
    name: str, size: Size, disks: Disks, *, labels: Mapping[str, str], os: str, vlan: str | None
) -> Manifest:
    volumes: list[Manifest] = []
    for index in range(len(disks.templates)):
        dv = volume_name(name, index)
        volumes.append({"dataVolume": {"name": dv}, "name": "rootdisk" if index == 0 else f"disk-{index}"})
    volumes += [{"name": c, "persistentVolumeClaim": {"claimName": c}} for c in disks.claims]
    volumes.append({"cloudInitNoCloud": {"secretRef": {"name": f"{name}-cloudinit"}}, "name": "cloudinitdisk"})
    if len(volumes) == 1:
        volumes.insert(0, {"containerDisk": {"image": f"quay.io/containerdisks/{os}:latest"}, "name": "rootdisk"})
    annotations = {
        "kubevirt.io/pci-topology-version": "v3",
        "vm.kubevirt.io/os": os,
        "vm.kubevirt.io/workload": "server",
    }
    spec = {
        "architecture": "amd64",
        "domain": _domain(name, size, volumes, vlan),
        "evictionStrategy": "LiveMigrate",
        "networks": _networks(vlan),
        "terminationGracePeriodSeconds": 180,
        "volumes": volumes,
    }
    meta = {"annotations": annotations, "labels": {**labels, "kubevirt.io/domain": name}, "creationTimestamp": None}
    return {"metadata": meta, "spec": spec}


def _domain(name: str, size: Size, volumes: Sequence[Manifest], vlan: str | None) -> Manifest:
    disks: list[Manifest] = [{"disk": {"bus": "virtio"}, "name": volume["name"]} for volume in volumes]
    disks[0]["bootOrder"] = 1
    # As virt-api does, the legacy firmware uuid is derived from the name.
    digest = hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()
    firmware = f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-9{digest[17:20]}-{digest[20:]}"
    mac = ":".join(("02", *(digest[i : i + 2] for i in range(0, 10, 2))))
    interfaces: list[Manifest] = [{"macAddress": mac, "masquerade": {}, "model": "virtio", "name": "default"}]
    if vlan:
        interfaces.append({"bridge": {}, "macAddress": f"{mac[:-2]}fe", "model": "virtio", "name": vlan})
    devices = {"autoattachPodInterface": False, "disks": disks, "interfaces": interfaces, "rng": {}}
    domain: Manifest = {
        "devices": devices,
        "firmware": {"serial": firmware, "uuid": firmware},
        "machine": {"type": "pc-q35-rhel9.6.0"},
        "resources": {},
    }
    if not size.instancetype:
        domain |= {"cpu": {"cores": size.cores}, "memory": {"guest": size.memory}}
    return domain


def _networks(vlan: str | None) -> list[Manifest]:
    networks: list[Manifest] = [{"name": "default", "pod": {}}]
    if vlan:
        networks.append({"multus": {"networkName": f"networks/{vlan}"}, "name": vlan})
    return networks


def run_strategy(vm: Manifest) -> str:
    """The effective run strategy; the deprecated `running` is read as well (types.go, RunStrategy())."""
    spec = part(vm, "spec")
    if spec.get("runStrategy"):
        return str(spec["runStrategy"])
    return "Always" if spec.get("running") else "Halted"
