"""What all manifests have, and the base of their parts."""

import msgspec

from summit_watcher.kube.bounds import Labels, Name, ResourceVersion, Text, Uid


class Part(msgspec.Struct, rename="camel", gc=False):
    """A part of a manifest. `gc=False` is safe: manifests are trees."""


class Present(Part):
    """An object whose content does not matter, such as `cdrom: {}`."""


class OwnerReference(Part):
    kind: Text | None = None
    uid: Text | None = None
    controller: bool | None = None


class Annotations(Part):
    """The only annotations that are read."""

    initial_events_end: Text | None = msgspec.field(default=None, name="k8s.io/initial-events-end")
    cluster_instancetype: Text | None = msgspec.field(default=None, name="kubevirt.io/cluster-instancetype-name")
    instancetype: Text | None = msgspec.field(default=None, name="kubevirt.io/instancetype-name")
    cluster_preference: Text | None = msgspec.field(default=None, name="kubevirt.io/cluster-preference-name")
    preference: Text | None = msgspec.field(default=None, name="kubevirt.io/preference-name")
    evacuation: Text | None = msgspec.field(default=None, name="kubevirt.io/evacuationMigration")
    workload_update: Text | None = msgspec.field(default=None, name="kubevirt.io/workloadUpdateMigration")
    volume_update: Text | None = msgspec.field(default=None, name="kubevirt.io/volume-update-migration")
    last_modified_by: Text | None = msgspec.field(default=None, name="kubevirt.io/last-modified-by")
    os: Text | None = msgspec.field(default=None, name="vm.kubevirt.io/os")


class Metadata(Part):
    uid: Uid | None = None
    name: Name | None = None
    namespace: Name | None = None
    resource_version: ResourceVersion | None = None
    generation: int | None = None
    creation_timestamp: Text | None = None
    deletion_timestamp: Text | None = None
    labels: Labels | None = None
    annotations: Annotations | None = None
    owner_references: list[OwnerReference | None] | None = None


class Manifest(Part):
    """What all watched kinds have."""

    metadata: Metadata = msgspec.field(default_factory=Metadata)
    decode_problems: tuple[str, ...] = msgspec.field(default=(), name="(decode problems)")
    """`path: what is wrong` of each member that had the wrong type and was left out. Written by
    `decode_leniently`; no field of Kubernetes has its JSON name."""
