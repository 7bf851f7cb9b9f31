"""Whether a cluster can be watched. Checks everything that would stop the watcher, and gives the remedy.

For people who have just edited datacenters.yaml (`summit-connect check`). The watcher itself checks none of this: it
tries, and reports what happens.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from summit_models.cluster import ConnectionState
from summit_models.contract import ClusterName, DatacenterId
from summit_watcher.config.datacenters import ClusterConfig
from summit_watcher.kube.access import kubeconfig_file
from summit_watcher.kube.access.certificates import WARN_BEFORE, Certificate
from summit_watcher.kube.access.kubeconfig import ADDRESS_IDENTITY
from summit_watcher.kube.connection import ClusterConnection
from summit_watcher.kube.errors import KubeconfigError, StatusError, WatcherError
from summit_watcher.kube.resources import WATCHED, Resource

CHECK_SECONDS = 15.0
"""For all requests to one cluster. People wait for the answer, and a slower cluster could not be watched well."""
CLUSTERS_AT_ONCE = 20

_VERBS = ("list", "watch")
_WHO_AM_I = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
_MAY_I = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


@dataclass
class ClusterReport:
    """What is known of a cluster, None where it is not. `problems` stop the watcher; `warnings` may do so later."""

    name: ClusterName
    datacenter: DatacenterId
    reachable: bool = False
    server_version: str | None = None
    user: str | None = None
    kubevirt: str | None = None
    """Served versions of the API group kubevirt.io, for example "v1,v1alpha3"."""
    allowed: bool | None = None
    """Whether we may list and watch every resource that is needed."""
    identity: str | None = None
    """How the watcher recognizes the cluster."""
    certificate_expires: datetime | None = None
    """When the first of the needed certificates ends."""
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def who(self) -> str:
        return f"user {self.user!r}" if self.user else "the user of the kubeconfig"


async def check_clusters(clusters: Sequence[ClusterConfig]) -> list[ClusterReport]:
    """Check all clusters at the same time. The reports have the order of the clusters."""
    slots = asyncio.Semaphore(CLUSTERS_AT_ONCE)

    async def check(cluster: ClusterConfig) -> ClusterReport:
        async with slots:
            return await check_cluster(cluster)

    return await asyncio.gather(*(check(cluster) for cluster in clusters))


async def check_cluster(cluster: ClusterConfig) -> ClusterReport:
    """Check one cluster. Whatever is wrong is in the report, which is there within CHECK_SECONDS."""
    report = ClusterReport(cluster.name, cluster.datacenter, warnings=_warnings_of(cluster))
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            async with ClusterConnection(cluster.kubeconfig, cluster.context, name=cluster.name) as connection:
                await _ask(connection, report)
        _check_identity(report, cluster)
    except TimeoutError:
        report.problems.append(
            f"the check has not ended within {CHECK_SECONDS:.0f} s: is the network or the server slow?"
        )
    except WatcherError as error:
        report.problems.append(str(error))
    return report


async def _ask(connection: ClusterConnection, report: ClusterReport) -> None:
    _check_certificates(await connection.certificates(), report, datetime.now(UTC))
    report.server_version = await connection.server_version()
    report.reachable = True
    report.user = await _who_am_i(connection)
    report.identity = await connection.identity()
    report.kubevirt = await _kubevirt_versions(connection)
    if report.kubevirt is None:
        report.problems.append("KubeVirt is missing: the server has no API group kubevirt.io; install KubeVirt")
    needed, optional = await _denied(connection)
    report.allowed = not needed
    grant = "grant it by applying config/rbac/watcher.yaml"
    if needed:
        report.problems.append(f"{report.who} may not {'; '.join(needed)}: {grant}")
    if optional:
        report.warnings.append(f"{report.who} may not {'; '.join(optional)}, which is optional: {grant}")


def _check_identity(report: ClusterReport, cluster: ClusterConfig) -> None:
    found = report.identity or ""
    if cluster.identity and found != cluster.identity:
        report.problems.append(
            f"its identity is {found}, and datacenters.yaml line {cluster.line} says {cluster.identity}: nothing of it "
            "will be published; correct the server in the kubeconfig, or the identity"
        )
    elif found.startswith(ADDRESS_IDENTITY):
        report.warnings.append(
            f"{report.who} may not get namespaces/kube-system, so another cluster with the same address and authority "
            "would not be noticed: grant it by applying config/rbac/watcher.yaml"
        )


async def _who_am_i(connection: ClusterConnection) -> str | None:
    """The user's name; None where the server does not know it (Kubernetes has SelfSubjectReview since 1.28)."""
    try:
        review = await connection.post(
            _WHO_AM_I, {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        )
    except StatusError as error:
        if error.code in (403, 404, 405):
            return None
        raise
    name = _member(review, "status", "userInfo", "username")
    return name if isinstance(name, str) else None


async def _kubevirt_versions(connection: ClusterConnection) -> str | None:
    try:
        group = await connection.get_object("/apis/kubevirt.io")
    except StatusError as error:
        if error.code == 404:
            return None
        raise
    versions = group.get("versions") or []
    return ",".join(str(_member(version, "version")) for version in versions) or None


async def _denied(connection: ClusterConnection) -> tuple[list[str], list[str]]:
    """What we may not do, such as "list and watch virtualmachines.kubevirt.io": first the needed, then the optional."""
    answers = iter(await asyncio.gather(*(_may_i(connection, verb, r) for r in WATCHED for verb in _VERBS)))
    denied = [(resource, [verb for verb in _VERBS if not next(answers)]) for resource in WATCHED]
    needed, optional = list[str](), list[str]()
    for resource, verbs in denied:
        if verbs:
            which = optional if ConnectionState.FORBIDDEN in resource.optional_in else needed
            which.append(f"{' and '.join(verbs)} {resource.plural}.{resource.group}")
    return needed, optional


async def _may_i(connection: ClusterConnection, verb: str, resource: Resource[Any]) -> bool:
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"verb": verb, "group": resource.group, "resource": resource.plural}},
    }
    return _member(await connection.post(_MAY_I, body), "status", "allowed") is True


def _member(document: Any, *keys: str) -> Any:
    """A nested member; None where one is missing, since servers of all versions answer here."""
    for key in keys:
        document = document.get(key) if isinstance(document, dict) else None
    return document


def _check_certificates(certificates: Sequence[Certificate], report: ClusterReport, now: datetime) -> None:
    """Note the needed certificate that ends first. The last of several authorities counts: bundles keep old ones."""
    ends: dict[str, datetime] = {}
    for certificate in certificates:
        known = ends.get(certificate.kind, certificate.not_after)
        later = certificate.kind == "ca"
        ends[certificate.kind] = max(known, certificate.not_after) if later else min(known, certificate.not_after)
    for kind, end in ends.items():
        what = "certificate authority" if kind == "ca" else "client certificate"
        if end <= now:
            report.problems.append(f"the {what} of the kubeconfig ended on {end:%Y-%m-%d %H:%M} UTC: get a new one")
        elif end - now < WARN_BEFORE:
            report.warnings.append(f"the {what} of the kubeconfig ends on {end:%Y-%m-%d %H:%M} UTC: get a new one")
    report.certificate_expires = min(ends.values(), default=None)


def _warnings_of(cluster: ClusterConfig) -> list[str]:
    """The warnings of the kubeconfig; none if it is broken, which is reported when connecting."""
    try:
        return list(kubeconfig_file.read(cluster.kubeconfig, cluster.context).warnings)
    except KubeconfigError:
        return []
