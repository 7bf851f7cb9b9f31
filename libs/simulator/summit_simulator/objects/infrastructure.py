"""Everything in a cluster before the first VM: namespaces, nodes, instancetypes."""

from summit_simulator.objects import instancetypes
from summit_simulator.objects.manifest import Manifest, metadata, part
from summit_simulator.objects.objects import Objects
from summit_simulator.objects.resources import CLAIMS, KUBEVIRTS, NAMESPACES, NODES
from summit_simulator.objects.store import Store

KUBERNETES_VERSION = "v1.34.2"
KUBEVIRT_VERSION = "v1.8.1"
NODE_COUNT = 6
SYSTEM_NAMESPACES = ("default", "kube-public", "kube-system", "kubevirt")


def install(objects: Objects, *, cluster: str) -> None:
    """Fill an empty cluster. The uid of kube-system is the identity of the cluster."""
    for namespace in SYSTEM_NAMESPACES:
        objects.ensure_namespace(namespace)
    for number in range(1, NODE_COUNT + 1):
        objects.create(NODES, _node(f"worker-{number:02}.{cluster}.example.com"), manager="kubelet", part="all")
    objects.create(KUBEVIRTS, _kubevirt(), manager="virt-operator", part="all")
    instancetypes.install(objects)


def configuration(objects: Objects) -> Manifest:
    """spec.configuration of the KubeVirt object, {} if there is none."""
    return part(objects.find(KUBEVIRTS, "kubevirt", "kubevirt") or {}, "spec", "configuration")


def has_feature_gate(objects: Objects, gate: str) -> bool:
    """Whether the KubeVirt object lists the feature gate."""
    return gate in (part(configuration(objects), "developerConfiguration").get("featureGates") or ())


def create_claim(objects: Objects, namespace: str, name: str, size: str) -> None:
    """A bound PersistentVolumeClaim of that capacity."""
    spec = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": size}}, "volumeMode": "Block"}
    status = {"phase": "Bound", "capacity": {"storage": size}}
    claim: Manifest = {"metadata": {"name": name, "namespace": namespace}, "spec": spec, "status": status}
    objects.create(CLAIMS, claim, part="all")


def change_identity(store: Store, objects: Objects) -> str:
    """Give kube-system another uid, as if another cluster answered under this URL; returns it."""
    manifest = objects.read(NAMESPACES, "", "kube-system")
    metadata(manifest)["uid"] = objects.new_uid()
    store.put(NAMESPACES, manifest)
    return str(metadata(manifest)["uid"])


def _kubevirt() -> Manifest:
    configuration: Manifest = {"developerConfiguration": {"featureGates": []}, "vmRolloutStrategy": "LiveUpdate"}
    versions = ("observedKubeVirtVersion", "operatorVersion", "targetKubeVirtVersion")
    status: Manifest = {"phase": "Deployed"} | dict.fromkeys(versions, KUBEVIRT_VERSION)
    meta = {"name": "kubevirt", "namespace": "kubevirt"}
    return {"metadata": meta, "spec": {"configuration": configuration}, "status": status}


def _node(name: str) -> Manifest:
    labels = {"kubernetes.io/hostname": name, "kubevirt.io/schedulable": "true", "kubernetes.io/arch": "amd64"}
    capacity = {"cpu": "64", "memory": "512Gi", "devices.kubevirt.io/kvm": "1k", "pods": "250"}
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady"}
    info = {"kubeletVersion": KUBERNETES_VERSION, "architecture": "amd64", "operatingSystem": "linux"}
    status = {"capacity": capacity, "allocatable": capacity, "conditions": [ready], "nodeInfo": info}
    return {"metadata": {"name": name, "labels": labels}, "spec": {}, "status": status}
