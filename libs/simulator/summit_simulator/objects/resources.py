"""The resources that a simulated cluster serves, as API discovery describes them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource of the API, named as in its path: `plural` in `group`/`version`."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    has_status: bool = False  # has a /status subresource: a write to the object leaves its status alone

    @property
    def api_version(self) -> str:
        """`v1`, `kubevirt.io/v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def singular(self) -> str:
        """`virtualmachine`, as in discovery and in the errors of virt-api."""
        return self.kind.lower()

    @property
    def qualified(self) -> str:
        """`virtualmachines.kubevirt.io`, as in error messages."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


VIRTUALMACHINES = Resource(
    "kubevirt.io",
    "v1",
    "virtualmachines",
    "VirtualMachine",
    short_names=("vm", "vms"),
    has_status=True,
)
VIRTUALMACHINEINSTANCES = Resource(
    "kubevirt.io",
    "v1",
    "virtualmachineinstances",
    "VirtualMachineInstance",
    short_names=("vmi", "vmis"),
)
MIGRATIONS = Resource(
    "kubevirt.io",
    "v1",
    "virtualmachineinstancemigrations",
    "VirtualMachineInstanceMigration",
    short_names=("vmim", "vmims"),
    has_status=True,
)
KUBEVIRTS = Resource("kubevirt.io", "v1", "kubevirts", "KubeVirt", short_names=("kv", "kvs"), has_status=True)
INSTANCETYPES = Resource(
    "instancetype.kubevirt.io",
    "v1beta1",
    "virtualmachineinstancetypes",
    "VirtualMachineInstancetype",
    short_names=("vminstancetype", "vminstancetypes", "vmf", "vmfs"),
)
CLUSTER_INSTANCETYPES = Resource(
    "instancetype.kubevirt.io",
    "v1beta1",
    "virtualmachineclusterinstancetypes",
    "VirtualMachineClusterInstancetype",
    namespaced=False,
    short_names=("vmclusterinstancetype", "vmclusterinstancetypes", "vmcf", "vmcfs"),
)
DATA_VOLUMES = Resource(
    "cdi.kubevirt.io", "v1beta1", "datavolumes", "DataVolume", short_names=("dv", "dvs"), has_status=True
)
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False, short_names=("ns",), has_status=True)
NODES = Resource("", "v1", "nodes", "Node", namespaced=False, short_names=("no",), has_status=True)
CLAIMS = Resource("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", short_names=("pvc",), has_status=True)

RESOURCES = (
    NAMESPACES,
    NODES,
    CLAIMS,
    VIRTUALMACHINES,
    VIRTUALMACHINEINSTANCES,
    MIGRATIONS,
    KUBEVIRTS,
    INSTANCETYPES,
    CLUSTER_INSTANCETYPES,
    DATA_VOLUMES,
)
_BY_PLURAL = {resource.plural: resource for resource in RESOURCES}
SUBRESOURCES_GROUP = "subresources.kubevirt.io"
KUBEVIRT_GROUPS = frozenset({"kubevirt.io", "instancetype.kubevirt.io", SUBRESOURCES_GROUP})
CDI_GROUPS = frozenset({"cdi.kubevirt.io"})


def named(plural: str) -> Resource:
    """The resource of that plural name. Raises KeyError if the simulator has none."""
    return _BY_PLURAL[plural]
