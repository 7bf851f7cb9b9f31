"""Manifests as a Kubernetes API would send them, small and with speaking names."""

from collections.abc import Sequence
from typing import Any
from uuid import NAMESPACE_URL, uuid5

Json = dict[str, Any]


def uid_of(*parts: str) -> str:
    """A uid that is the same for the same names, so that tests can refer to objects."""
    return str(uuid5(NAMESPACE_URL, "/".join(parts)))


def metadata(name: str, *, namespace: str = "prod", version: int = 1, uid: str = "", **more: Any) -> Json:
    return {
        "name": name,
        "namespace": namespace,
        "uid": uid or uid_of(namespace, name),
        "resourceVersion": str(version),
        "creationTimestamp": "2026-03-11T08:21:47Z",
        **more,
    }


def vm(
    name: str,
    *,
    status: str = "Running",
    cores: int = 2,
    instancetype: str = "",
    volumes: Sequence[str] = (),
    **meta: Any,
) -> Json:
    """A VirtualMachine with `cores` vCPUs and 4 GiB, or with those of a cluster instancetype."""
    domain: Json = {} if instancetype else {"cpu": {"cores": cores}, "memory": {"guest": "4Gi"}}
    guest = {"domain": domain, "volumes": [{"name": volume, "dataVolume": {"name": volume}} for volume in volumes]}
    spec: Json = {"runStrategy": "Always", "template": {"spec": guest}}
    if instancetype:
        spec["instancetype"] = {"name": instancetype}
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachine",
        "metadata": metadata(name, **meta),
        "spec": spec,
        "status": {"printableStatus": status},
    }


def vmi(name: str, *, owner: str | None = "", node: str = "node-1", phase: str = "Running", **meta: Any) -> Json:
    """The instance of the VM of that name; `owner` None stands alone, a uid names another owner."""
    namespace = meta.get("namespace", "prod")
    meta.setdefault("uid", uid_of(namespace, name, "instance"))
    if owner is not None:
        reference = {
            "kind": "VirtualMachine",
            "controller": True,
            "name": name,
            "uid": owner or uid_of(namespace, name),
        }
        meta["ownerReferences"] = [reference]
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": metadata(name, **meta),
        "spec": {
            "domain": {"cpu": {"cores": 2}, "memory": {"guest": "4Gi"}},
            "networks": [{"name": "default", "pod": {}}],
        },
        "status": {
            "phase": phase,
            "nodeName": node,
            "interfaces": [{"name": "default", "ipAddress": "10.0.0.7", "ipAddresses": ["10.0.0.7"]}],
        },
    }


def vmim(name: str, *, vmi_name: str, phase: str = "Running", **meta: Any) -> Json:
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstanceMigration",
        "metadata": metadata(name, **meta),
        "spec": {"vmiName": vmi_name},
        "status": {"phase": phase},
    }


def data_volume(name: str, *, progress: str = "N/A", phase: str = "ImportInProgress", **meta: Any) -> Json:
    meta.setdefault("uid", uid_of(meta.get("namespace", "prod"), name, "volume"))
    return {
        "apiVersion": "cdi.kubevirt.io/v1beta1",
        "kind": "DataVolume",
        "metadata": metadata(name, **meta),
        "status": {"phase": phase, "progress": progress},
    }


def instancetype(name: str, *, cpu: int, memory: str = "8Gi", **meta: Any) -> Json:
    return {
        "apiVersion": "instancetype.kubevirt.io/v1beta1",
        "kind": "VirtualMachineClusterInstancetype",
        "metadata": metadata(name, namespace="", **meta),
        "spec": {"cpu": {"guest": cpu}, "memory": {"guest": memory}},
    }
