"""VirtualMachine."""

from summit_watcher.kube.manifests.guest import Condition, InstanceSpec, Resources
from summit_watcher.kube.manifests.metadata import Annotations, Manifest, Part


class TemplateMetadata(Part):
    annotations: Annotations | None = None


class Template(Part):
    metadata: TemplateMetadata | None = None
    spec: InstanceSpec | None = None


class InstancetypeMatcher(Part):
    name: str | None = None
    kind: str | None = None
    revision_name: str | None = None


class PreferenceMatcher(Part):
    name: str | None = None


class ClaimSpec(Part):
    resources: Resources | None = None


class DataVolumeSpec(Part):
    pvc: ClaimSpec | None = None
    storage: ClaimSpec | None = None


class DataVolumeMetadata(Part):
    name: str | None = None


class DataVolumeTemplate(Part):
    metadata: DataVolumeMetadata | None = None
    spec: DataVolumeSpec | None = None


class VirtualMachineSpec(Part):
    run_strategy: str | None = None
    running: bool | None = None
    template: Template | None = None
    instancetype: InstancetypeMatcher | None = None
    preference: PreferenceMatcher | None = None
    data_volume_templates: list[DataVolumeTemplate | None] | None = None


class ControllerRevisionRef(Part):
    name: str | None = None


class InstancetypeRef(Part):
    name: str | None = None
    controller_revision_ref: ControllerRevisionRef | None = None


class VirtualMachineStatus(Part):
    printable_status: str | None = None
    created: bool | None = None
    ready: bool | None = None
    conditions: list[Condition | None] | None = None
    instancetype_ref: InstancetypeRef | None = None


class VirtualMachine(Manifest):
    spec: VirtualMachineSpec | None = None
    status: VirtualMachineStatus | None = None
