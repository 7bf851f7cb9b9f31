"""The VirtualMachineInstance: a VM as it runs, from its creation to the agent's first report."""

import hashlib
from collections.abc import Mapping
from datetime import datetime

from summit_simulator.objects.guests import guest_of
from summit_simulator.objects.manifest import (
    Manifest,
    conditions,
    drop_condition,
    from_bytes,
    metadata,
    part,
    set_condition,
    size_in_bytes,
    timestamp,
)
from summit_simulator.objects.virtual_machine import FINALIZER

FINAL_PHASES = ("Succeeded", "Failed")
NOT_READY = "ContainersNotReady"  # reason of Ready while a readiness probe has not succeeded
MAX_HOTPLUG_RATIO = 4  # maxSockets and maxGuest over the size at the start (virt-config.go)
MIN_HOTPLUG_BYTES = 1024**3  # a smaller guest has no maxGuest
LAUNCHER = "quay.io/kubevirt/virt-launcher@sha256:1f0a4b6d1a4c7c0fdbd4b40d1ce5f3a3b6a5d0b4dbd5c1cb6d4b0a3f2d7e6c11"


def instance_of(vm: Manifest, *, cpu: Manifest, memory: str) -> Manifest:
    """The VMI that virt-controller creates for a VM (SetupVMIFromVM): not yet written, so without uid."""
    owner = metadata(vm)
    template = part(vm, "spec", "template")
    annotations = part(template, "metadata", "annotations")
    annotations |= {
        "kubevirt.io/latest-observed-api-version": "v1",
        "kubevirt.io/storage-observed-api-version": "v1",
        "kubevirt.io/vm-generation": str(owner.get("generation", 1)),
    }
    if matcher := part(vm, "spec", "instancetype"):
        annotations["kubevirt.io/cluster-instancetype-name"] = matcher["name"]
    meta = {
        "annotations": annotations,
        "finalizers": [FINALIZER, "kubevirt.io/foregroundDeleteVirtualMachine"],
        "labels": part(template, "metadata", "labels"),
        "name": owner["name"],
        "namespace": owner["namespace"],
        "ownerReferences": [_owner_reference(owner)],
    }
    spec = part(template, "spec")
    domain = part(spec, "domain")
    most = {"maxSockets": MAX_HOTPLUG_RATIO * cpu.get("sockets", 1), "model": "host-model"}
    domain |= {"cpu": most | cpu, "memory": _memory(part(domain, "memory"), memory)}
    domain["resources"] = {"requests": {"memory": memory}}
    return {"metadata": meta, "spec": spec | {"domain": domain}, "status": {"guestOSInfo": {}}}


def _memory(given: Manifest, guest: str) -> Manifest:
    """The guest's memory, and up to how much it may grow without a restart."""
    memory = given | {"guest": guest}
    try:
        size = size_in_bytes(guest)
    except ValueError:
        return memory
    return ({"maxGuest": from_bytes(MAX_HOTPLUG_RATIO * size)} if size >= MIN_HOTPLUG_BYTES else {}) | memory


def _owner_reference(owner: Manifest) -> Manifest:
    return {
        "apiVersion": "kubevirt.io/v1",
        "blockOwnerDeletion": True,
        "controller": True,
        "kind": "VirtualMachine",
        "name": owner["name"],
        "uid": owner["uid"],
    }


def enter_phase(vmi: Manifest, phase: str, now: datetime) -> None:
    """Set the phase; the time of its first entry stays, as in SetVMIPhaseTransitionTimestamp."""
    status = vmi.setdefault("status", {})
    status["phase"] = phase
    times = status.setdefault("phaseTransitionTimestamps", [])
    if all(entry["phase"] != phase for entry in times):
        times.append({"phase": phase, "phaseTransitionTimestamp": timestamp(now)})


def await_boot(vmi: Manifest, now: datetime) -> None:
    """Pending: the topology is recorded at creation, the guest is not there yet."""
    enter_phase(vmi, "Pending", now)
    cpu, memory = vmi["spec"]["domain"]["cpu"], vmi["spec"]["domain"]["memory"]["guest"]
    topology = {part: cpu[part] for part in ("cores", "sockets", "threads") if part in cpu}
    vmi["status"] |= {"currentCPUTopology": topology, "runtimeUser": 107, "qosClass": "Burstable"}
    vmi["status"]["memory"] = {"guestAtBoot": memory, "guestCurrent": memory, "guestRequested": memory}
    set_condition(vmi, "Ready", "False", reason="GuestNotRunning", message="Guest VM is not reported as running")


def place(vmi: Manifest, node: str, now: datetime) -> None:
    """Scheduled: a pod is on a node."""
    enter_phase(vmi, "Scheduled", now)
    move_to(vmi, node)


def move_to(vmi: Manifest, node: str) -> None:
    """Name the node in status, label and active pods."""
    metadata(vmi).setdefault("labels", {})["kubevirt.io/nodeName"] = node
    vmi["status"]["nodeName"] = node
    vmi["status"].pop("evacuationNodeName", None)
    pod = _digest(metadata(vmi)["uid"], node)
    vmi["status"]["activePods"] = {f"{pod[:8]}-{pod[8:12]}-4{pod[13:16]}-8{pod[17:20]}-{pod[20:]}": node}


def boot(vmi: Manifest, capacities: Mapping[str, str], now: datetime) -> None:
    """Running: volumes are attached and the pod's addresses known, the agent has not reported yet."""
    enter_phase(vmi, "Running", now)
    since = timestamp(now)
    if part(vmi, "spec").get("readinessProbe"):
        message = "containers with unready status: [compute]"
        set_condition(vmi, "Ready", "False", reason=NOT_READY, message=message, lastTransitionTime=since)
    else:
        become_ready(vmi, now)
    set_condition(
        vmi, "DataVolumesReady", "True", reason="AllDVsReady", message="All of the VMI's DVs are bound and ready"
    )
    set_condition(vmi, "LiveMigratable", "True")
    set_condition(vmi, "StorageLiveMigratable", "True")
    vmi["status"] |= {
        "interfaces": _interfaces(vmi, with_agent=False),
        "launcherContainerImageVersion": LAUNCHER,
        "machine": {"type": "pc-q35-rhel9.6.0"},
        "migrationMethod": "BlockMigration",
        "migrationTransport": "Unix",
        "selinuxContext": "system_u:object_r:container_file_t:s0:c714,c988",
        "virtualMachineRevisionName": f"revision-start-vm-{metadata(vmi)['uid']}-1",
        "volumeStatus": _volume_status(vmi, capacities),
    }


def become_ready(vmi: Manifest, now: datetime) -> None:
    """The pod is ready: there is no readiness probe, or it has succeeded."""
    set_condition(vmi, "Ready", "True", lastTransitionTime=timestamp(now))


def finish_hotplug(vmi: Manifest) -> None:
    """The guest has the sockets and the memory of the spec: a migration has brought it a larger pod."""
    domain = vmi["spec"]["domain"]
    if "HotVCPUChange" in conditions(vmi):
        vmi["status"]["currentCPUTopology"] |= {"sockets": domain["cpu"]["sockets"]}
        drop_condition(vmi, "HotVCPUChange")
    if "HotMemoryChange" in conditions(vmi):
        vmi["status"]["memory"] |= {"guestCurrent": domain["memory"]["guest"]}
        drop_condition(vmi, "HotMemoryChange")


def connect_agent(vmi: Manifest, now: datetime) -> None:
    """The guest agent reports operating system and all addresses."""
    set_condition(vmi, "AgentConnected", "True", lastProbeTime=timestamp(now))
    vmi["status"]["guestOSInfo"] = guest_of(vmi).info()
    vmi["status"]["interfaces"] = _interfaces(vmi, with_agent=True)


def end(vmi: Manifest, phase: str, now: datetime) -> None:
    """Succeeded or Failed: the pod goes away."""
    set_condition(vmi, "Ready", "False", reason="PodTerminating", message="virt-launcher pod is terminating")
    enter_phase(vmi, phase, now)


def set_paused(vmi: Manifest, now: datetime, *, paused: bool) -> None:
    """Paused is a condition that is present or not, never False. A gate of its pod makes a paused guest not Ready."""
    since = timestamp(now)
    if paused:
        message = "VMI was paused by user"
        set_condition(vmi, "Paused", "True", reason="PausedByUser", message=message, lastTransitionTime=since)
        gate = 'the status of pod readiness gate "kubevirt.io/virtual-machine-unpaused" is not "True", but False'
        set_condition(vmi, "Ready", "False", reason="ReadinessGatesNotReady", message=gate, lastTransitionTime=since)
    else:
        drop_condition(vmi, "Paused")
        set_condition(vmi, "Ready", "True", lastTransitionTime=since)


def _interfaces(vmi: Manifest, *, with_agent: bool) -> list[Manifest]:
    digest = bytes.fromhex(_digest(metadata(vmi)["uid"]))
    source = "domain, guest-agent" if with_agent else "domain"
    networks = part(vmi, "spec").get("networks") or ()
    interfaces = part(vmi, "spec", "domain", "devices").get("interfaces") or ()
    found: list[Manifest] = []
    for index, (network, interface) in enumerate(zip(networks, interfaces, strict=False)):
        entry: Manifest = {"infoSource": source, "linkState": "up", "name": network["name"], "queueCount": 1}
        entry |= {"mac": interface.get("macAddress"), "podInterfaceName": f"eth{index}"}
        if with_agent:
            entry["interfaceName"] = f"eth{index}"
        if "pod" in network:
            # 10.128.0.0/14: the pod network of an OpenShift cluster
            address = f"10.{128 + digest[0] % 4}.{digest[1]}.{1 + digest[2] % 254}"
            addresses = [address, f"fd01:0:0:{digest[0]:x}::{digest[1]:x}{digest[2]:02x}"]
            entry |= {"ipAddress": address, "ipAddresses": addresses}
        elif with_agent:  # a secondary network has no address that anybody but the agent knows
            address = f"10.20.{digest[3]}.{1 + digest[4] % 254}"
            addresses = [address, f"fe80::{digest[3]:x}:{digest[4]:x}ff:fe00:1"]
            entry |= {"ipAddress": address, "ipAddresses": addresses}
        found.append(entry)
    return found


def _volume_status(vmi: Manifest, capacities: Mapping[str, str]) -> list[Manifest]:
    found: list[Manifest] = []
    for index, volume in enumerate(part(vmi, "spec").get("volumes") or ()):
        entry: Manifest = {"name": volume["name"], "target": f"vd{chr(ord('a') + index)}"}
        if claim := claim_of(volume):
            size = capacities.get(claim)
            entry["persistentVolumeClaimInfo"] = {"accessModes": ["ReadWriteMany"], "claimName": claim}
            if size is not None:
                amounts = {"capacity": {"storage": size}, "requests": {"storage": size}}
                entry["persistentVolumeClaimInfo"] |= amounts | {"filesystemOverhead": "0", "volumeMode": "Block"}
        elif "cloudInitNoCloud" in volume:
            entry["size"] = 1048576
        found.append(entry)
    return sorted(found, key=lambda entry: str(entry["name"]))  # KubeVirt sorts them by name


def claim_of(volume: Manifest) -> str | None:
    """The claim behind a volume, if it is persistent."""
    if "dataVolume" in volume:
        return str(volume["dataVolume"]["name"])
    if "persistentVolumeClaim" in volume:
        return str(volume["persistentVolumeClaim"]["claimName"])
    return None


def _digest(*parts: str) -> str:
    return hashlib.md5("/".join(parts).encode(), usedforsecurity=False).hexdigest()
