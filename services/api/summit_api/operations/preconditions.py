"""What a live migration to a cluster of another datacenter would need, as far as the tables show it. Pure.

This version does not do such a migration. What it cannot see it calls unknown, never met.
"""

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from summit_models.cluster import ClusterHealth
from summit_models.contract import ClusterName
from summit_models.vm import Vm, VmStatus

FLOOR = (1, 8, 3)
"""The first KubeVirt whose migration between clusters reports its failures on both sides."""


class PreconditionState(StrEnum):
    MET = "met"
    UNMET = "unmet"
    UNKNOWN = "unknown"


class Precondition(NamedTuple):
    id: str
    state: PreconditionState
    blocking: bool
    evidence: str
    """What was seen."""
    fix: str | None
    """What to do about it; None where it is met."""


class Sides(NamedTuple):
    """What is known of both ends."""

    vm: Vm
    is_idle: bool
    """No operation and no migration acts on the VM."""
    source: ClusterHealth | None
    targets: Sequence[ClusterHealth]
    """The clusters of the other datacenter."""
    fresh: frozenset[ClusterName]
    same_name: Sequence[ClusterName]
    """Clusters of the other datacenter that have a VM of this namespace and name."""


_UNSEEN = {
    "gate-on-both": "enable the feature gate DecentralizedLiveMigration in both clusters",
    "ca-trusted-a-in-b": "add the source's kubevirt-ca to kubevirt-external-ca in the target",
    "ca-trusted-b-in-a": "add the target's kubevirt-ca to kubevirt-external-ca in the source",
    "ca-rotation-safe": "let the certificate authority live longer than it overlaps (certificateRotateStrategy)",
    "datapath-equal": "route the migration networks of both clusters to each other, in both directions",
    "sync-address-published": "see that kubevirt.status.synchronizationAddresses is not empty in both clusters",
    "no-restart-required": "restart the VM if it has the condition RestartRequired",
    "volumes-supported": "use DataVolumes, claims, containerDisks, cloud-init, ConfigMaps and Secrets only",
    "tpm-efi": "a persistent TPM or EFI needs KubeVirt 1.9",
    "storage-mapped": "name a storage class of the target for each disk",
    "size-fits": "let each claim of the target be as large as the one of the source",
    "quota": "raise the quota of the target namespace",
    "networks-mapped": "create the NetworkAttachmentDefinitions in the target",
    "mac-free": "see that no VM of the target has its MAC addresses",
    "same-arch": "see that nodes of the target have its architecture",
    "cpu-model": "see that nodes of the target have its CPU model and features",
    "machine-type": "see that nodes of the target support its machine type",
    "capacity-on-one-node": "free one node of the target for it",
    "instancetype": "create an equal instancetype and preference in the target",
    "references-exist": "create the Secrets, ConfigMaps and ServiceAccounts that it refers to in the target",
    "rights-on-both": "let the credentials of both clusters create VMs, DataVolumes and migrations",
}


def preconditions(sides: Sides) -> list[Precondition]:
    """All of them, by id."""
    seen = [_freshness(sides), _floor(sides), _minor(sides), _running(sides), _storage(sides), _names(sides)]
    unseen = [
        Precondition(id_, PreconditionState.UNKNOWN, True, "this version does not look at it", fix)
        for id_, fix in _UNSEEN.items()
    ]
    return sorted([*seen, *unseen])


def _made(id_: str, met: bool | None, evidence: str, fix: str) -> Precondition:
    state = {True: PreconditionState.MET, False: PreconditionState.UNMET, None: PreconditionState.UNKNOWN}[met]
    return Precondition(id_, state, True, evidence, None if met else fix)


def _freshness(sides: Sides) -> Precondition:
    silent = [
        name for name in (sides.vm.cluster, *(health.name for health in sides.targets)) if name not in sides.fresh
    ]
    evidence = f"no contact for 90 s: {', '.join(map(str, silent))}" if silent else "both are watched"
    if not sides.targets:
        return _made("freshness-of-both", False, "the datacenter has no cluster", "declare one in datacenters.yaml")
    return _made("freshness-of-both", not silent, evidence, "see /api/v1/clusters for the reason")


def _floor(sides: Sides) -> Precondition:
    versions = _versions(sides)
    parsed = [_parsed(version) for version in versions]
    met = None if None in parsed or len(parsed) < 2 else all(version >= FLOOR for version in parsed if version)
    floor = ".".join(map(str, FLOOR))
    return _made("kubevirt-version-floor", met, f"KubeVirt {_shown(versions)}", f"update KubeVirt to {floor} or newer")


def _minor(sides: Sides) -> Precondition:
    versions = _versions(sides)
    minors = {parsed and parsed[:2] for parsed in map(_parsed, versions)}
    met = None if None in minors or len(versions) < 2 else len(minors) == 1
    return _made("same-minor", met, f"KubeVirt {_shown(versions)}", "let both clusters have the same minor version")


def _running(sides: Sides) -> Precondition:
    met = sides.vm.status is VmStatus.RUNNING and sides.is_idle
    evidence = f"it is {sides.vm.status}" + ("" if sides.is_idle else ", and something acts on it")
    return _made("vm-running-and-idle", met, evidence, "start it, or wait until what acts on it has ended")


def _storage(sides: Sides) -> Precondition:
    reason = sides.vm.live_migratable_reason
    evidence = f"KubeVirt's condition LiveMigratable is {sides.vm.live_migratable}" + (f": {reason}" if reason else "")
    return _made("vm-storage-live-migratable", sides.vm.live_migratable, evidence, "see the reason of the condition")


def _names(sides: Sides) -> Precondition:
    if sides.same_name:
        evidence = f"there is one in {', '.join(sides.same_name)}"
        return _made("names-free", False, evidence, "rename or delete the VM of this name in the target")
    return _made("names-free", None, "no VM has the name; claims were not looked at", "see that no claim has its names")


def _versions(sides: Sides) -> list[str | None]:
    return [health.kubevirt_version if health else None for health in (sides.source, *sides.targets)]


def _parsed(version: str | None) -> tuple[int, ...] | None:
    found = re.match(r"v?(\d+)\.(\d+)\.(\d+)", version or "")
    return tuple(map(int, found.groups())) if found else None


def _shown(versions: Sequence[str | None]) -> str:
    source, *targets = (version or "of unknown version" for version in versions)
    return f"{source} in the source, {', '.join(targets) or 'none'} in the target"
