"""VirtualMachine."""

from summit_watcher.kube.bounds import Text
from summit_watcher.kube.manifests.guest import Condition, InstanceSpec, Resources
from summit_watcher.kube.manifests.metadata import Annotations, Manifest, Part


class TemplateMetadata(Part):
    annotations: Annotations | None = None


class Template(Part):
    metadata: TemplateMetadata | None = None
    spec: InstanceSpec | None = None


class InstancetypeMatcher(Part):
    name: Text | None = None
    kind: Text | None = None
    revision_name: Text | None = None


class PreferenceMatcher(Part):
    name: Text | None = None


class ClaimSpec(Part):
    resources: Resources | None = None


class DataVolumeSpec(Part):
    pvc: ClaimSpec | None = None
    storage: ClaimSpec | None = None


class DataVolumeMetadata(Part):
    name: Text | None = None


class DataVolumeTemplate(Part):
    metadata: DataVolumeMetadata | None = None
    spec: DataVolumeSpec | None = None


class VirtualMachineSpec(Part):
    run_strategy: Text | None = None
    running: bool | None = None
    template: Template | None = None
    instancetype: InstancetypeMatcher | None = None
    preference: PreferenceMatcher | None = None
    data_volume_templates: list[DataVolumeTemplate | None] | None = None


class ControllerRevisionRef(Part):
    name: Text | None = None


class InstancetypeRef(Part):
    name: Text | None = None
    controller_revision_ref: ControllerRevisionRef | None = None


class VirtualMachineStatus(Part):
    printable_status: Text | None = None
    created: bool | None = None
    ready: bool | None = None
    conditions: list[Condition | None] | None = None
    instancetype_ref: InstancetypeRef | None = None


class VirtualMachine(Manifest):
    spec: VirtualMachineSpec | None = None
    status: VirtualMachineStatus | None = None
