"""DataVolume, cdi.kubevirt.io/v1beta1."""

from summit_watcher.kube.bounds import Message, Text
from summit_watcher.kube.manifests.metadata import Manifest, Part


class DataVolumeCondition(Part):
    type: Text | None = None
    status: Text | None = None
    reason: Text | None = None
    message: Message | None = None


class DataVolumeStatus(Part):
    phase: Text | None = None
    progress: Text | None = None
    """A percentage as text ("37.41%"), or "N/A"."""
    conditions: list[DataVolumeCondition | None] | None = None


class DataVolume(Manifest):
    status: DataVolumeStatus | None = None
