"""DataVolumes: how far CDI is with the disks of a VM that is being provisioned.

Source for phases and conditions: containerized-data-importer-api types.go; for what KubeVirt makes of them:
pkg/storage/types/dv.go.
"""

import re
from collections.abc import Sequence

from summit_watcher.kube.manifests.datavolume import DataVolume, DataVolumeStatus
from summit_watcher.normalize.facts import Facts, name_of, shared_text, text, unreadable, version_of
from summit_watcher.normalize.quantity import Figure, known, shown, unknown
from summit_watcher.normalize.trouble import without_secrets

STEP_PERCENT = 10
"""CDI writes the progress every second or so. In tens, an import of any length makes at most eleven events."""

_PERCENTAGE = re.compile(r"([0-9]{1,3})(?:\.[0-9]*)?%")
_FAILURES = frozenset({"Error", "ImagePullFailed"})
"""Reasons of the condition Running for which KubeVirt shows DataVolumeError."""


class DataVolumeFacts(Facts, frozen=True, gc=False, kw_only=True):
    progress: Figure | None = None
    """Percent, or why there is none. None: it is complete, or CDI has no progress (clones, before the first byte)."""


def data_volume_facts(volume: DataVolume) -> DataVolumeFacts:
    metadata = volume.metadata
    return DataVolumeFacts(
        uid=text(metadata.uid) or "",
        namespace=shared_text(metadata.namespace) or "",
        name=name_of(metadata),
        resource_version=version_of(metadata),
        progress=_progress(volume),
        problems=volume.decode_problems,
    )


def _progress(volume: DataVolume) -> Figure | None:
    if volume.decode_problems and unreadable(volume.decode_problems, "status"):
        return _unknown(volume, "has an unreadable status")
    status = volume.status
    if status is None or status.phase == "Succeeded":
        return None
    if (failure := _failure(status)) is not None:
        return _unknown(volume, f"fails: {failure}")
    if status.progress in (None, "", "N/A"):
        return None
    match = _PERCENTAGE.fullmatch(status.progress or "")
    if match is None or int(match[1]) > 100:
        return _unknown(volume, f"has the progress {shown(status.progress)}")
    return known(int(match[1]) // STEP_PERCENT * STEP_PERCENT)


def _unknown(volume: DataVolume, why: str) -> Figure:
    return unknown(f"provisioningProgress: DataVolume {shown(volume.metadata.name)} {why}")


def _failure(status: DataVolumeStatus) -> str | None:
    """CDI's own sentence about why the import does not go on."""
    running = next((c for c in status.conditions or () if c is not None and c.type == "Running"), None)
    has_stopped = running is not None and running.status == "False" and running.reason in _FAILURES
    if not has_stopped and status.phase != "Failed":
        return None
    message = text(without_secrets(running.message)) if running and running.message else None
    return message or "CDI gives no reason"


def least_progress(volumes: Sequence[DataVolumeFacts]) -> Figure | None:
    """Of the least advanced volume that has a progress; None if none has. Why they fail, if some do."""
    figures = [volume.progress for volume in volumes if volume.progress]
    if problems := [figure.problem for figure in figures if figure.problem]:
        return unknown("; ".join(problems))
    return min(figures, key=lambda figure: figure.value or 0, default=None)
