"""The u1 series of common-instancetypes, which KubeVirt installs by default."""

from summit_simulator.objects.manifest import Manifest, part
from summit_simulator.objects.objects import Objects
from summit_simulator.objects.resources import CLUSTER_INSTANCETYPES, INSTANCETYPES

# name → vCPU, memory (kubevirt, generate/components/data/common-instancetypes)
U1_SERIES = {
    "u1.nano": (1, "512Mi"),
    "u1.micro": (1, "1Gi"),
    "u1.small": (1, "2Gi"),
    "u1.medium": (1, "4Gi"),
    "u1.2xmedium": (2, "4Gi"),
    "u1.large": (2, "8Gi"),
    "u1.xlarge": (4, "16Gi"),
    "u1.2xlarge": (8, "32Gi"),
    "u1.4xlarge": (16, "64Gi"),
    "u1.8xlarge": (32, "128Gi"),
}


def instancetype(name: str, cpu: int, memory: str) -> Manifest:
    """An instancetype with the labels that the common ones carry."""
    labels = {
        "instancetype.kubevirt.io/class": "general.purpose",
        "instancetype.kubevirt.io/cpu": str(cpu),
        "instancetype.kubevirt.io/memory": memory,
        "instancetype.kubevirt.io/vendor": "kubevirt.io",
    }
    annotations = {"instancetype.kubevirt.io/displayName": "General Purpose"}
    meta = {"name": name, "labels": labels, "annotations": annotations}
    return {"metadata": meta, "spec": {"cpu": {"guest": cpu}, "memory": {"guest": memory}}}


def install(objects: Objects) -> None:
    for name, (cpu, memory) in U1_SERIES.items():
        objects.create(CLUSTER_INSTANCETYPES, instancetype(name, cpu, memory), manager="virt-operator")


def size_of(objects: Objects, vm: Manifest) -> tuple[int, str] | None:
    """Count of vCPU and memory by the VM's instancetype, None if it names none.

    Raises KeyError if what it names is missing.
    """
    matcher = part(vm, "spec", "instancetype")
    if not matcher:
        return None
    # An absent kind stands for the cluster-wide one (pkg/instancetype/find/spec.go).
    kind = str(matcher.get("kind") or CLUSTER_INSTANCETYPES.kind).lower()
    is_namespaced = kind in (INSTANCETYPES.kind.lower(), INSTANCETYPES.plural)
    resource = INSTANCETYPES if is_namespaced else CLUSTER_INSTANCETYPES
    found = objects.find(resource, vm["metadata"]["namespace"] if is_namespaced else "", matcher["name"])
    if found is None:
        raise KeyError(matcher["name"])
    return found["spec"]["cpu"]["guest"], found["spec"]["memory"]["guest"]
