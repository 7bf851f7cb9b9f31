"""DataVolume, cdi.kubevirt.io/v1beta1."""

from summit_watcher.kube.manifests.metadata import Manifest, Part


class DataVolumeCondition(Part):
    type: str | None = None
    status: str | None = None
    reason: str | None = None
    message: str | None = None


class DataVolumeStatus(Part):
    phase: str | None = None
    progress: str | None = None
    """A percentage as text ("37.41%"), or "N/A"."""
    conditions: list[DataVolumeCondition | None] | None = None


class DataVolume(Manifest):
    status: DataVolumeStatus | None = None
