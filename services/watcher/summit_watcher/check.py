"""Whether a cluster can be watched. Checks everything that would stop the watcher, and gives the remedy.

For people who have just edited datacenters.yaml (`summit-connect check`). The watcher itself checks none of this: it
tries, and reports what happens.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from summit_models.cluster import ConnectionState
from summit_models.contract import ClusterName, DatacenterId
from summit_models.operation import ROLES, Action
from summit_watcher.config.datacenters import ClusterConfig
from summit_watcher.kube.access.certificates import WARN_BEFORE, Certificate
from summit_watcher.kube.access.kubeconfig import ADDRESS_IDENTITY
from summit_watcher.kube.bounds import one_line
from summit_watcher.kube.connection import ClusterConnection
from summit_watcher.kube.errors import StatusError, WatcherError
from summit_watcher.kube.failure import classify
from summit_watcher.kube.members import member
from summit_watcher.kube.resources import WATCHED
from summit_watcher.kube.rights.reviews import CANCEL_MIGRATION, NEEDED, Right, is_allowed, who_am_i

logger = logging.getLogger("summit.watcher")

CHECK_SECONDS = 15.0
"""For all requests to one cluster. People wait for the answer, and a slower cluster could not be watched well."""
CLUSTERS_AT_ONCE = 20

_VERBS = ("list", "watch")
_OPERATOR = "config/rbac/operator.yaml"
_ACTIONS = frozenset(map(str, Action))
_CANCEL = ("cancel a migration", CANCEL_MIGRATION, ROLES[Action.MIGRATE])


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
    may: list[Action] | None = None
    """Actions on VMs that are allowed in all namespaces."""
    missing_roles: list[str] = field(default_factory=list)
    """ClusterRoles of config/rbac/operator.yaml that would allow the others. Watching needs none of them."""
    identity: str | None = None
    """How the watcher recognizes the cluster."""
    server_certificate_expires: datetime | None = None
    client_certificate_expires: datetime | None = None
    """When our own ends; None where we show none."""
    certificate_expires: datetime | None = None
    """The sooner one of the two."""
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What may be as it is."""

    @property
    def who(self) -> str:
        return f"user {self.user!r}" if self.user else "the user of the kubeconfig"


async def check_clusters(clusters: Sequence[ClusterConfig]) -> list[ClusterReport]:
    """Check all clusters at the same time. The reports have the order of the clusters."""
    slots = asyncio.Semaphore(CLUSTERS_AT_ONCE)

    async def check(cluster: ClusterConfig) -> ClusterReport:
        async with slots:
            return await check_cluster(cluster)

    reports = await asyncio.gather(*(check(cluster) for cluster in clusters))
    _name_duplicates(reports)
    return reports


async def check_cluster(cluster: ClusterConfig) -> ClusterReport:
    """Check one cluster. Whatever is wrong is in the report, which is there within CHECK_SECONDS."""
    report = ClusterReport(cluster.name, cluster.datacenter)
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
        report.problems.append(classify(error).reason)
    except Exception as error:
        logger.debug("the check of cluster %s failed", cluster.name, exc_info=True)
        report.problems.append(f"the check failed ({type(error).__name__}), which is unforeseen: please report it")
    return report


def _name_duplicates(reports: Sequence[ClusterReport]) -> None:
    """Note clusters that are the same one: the watcher watches the first, as each VM is there only once."""
    first: dict[str, ClusterReport] = {}
    for report in reports:
        if report.identity is None:
            continue
        same = first.setdefault(report.identity, report)
        if same is not report:
            report.problems.append(
                f"it is the same cluster as {same.name!r} of datacenter {same.datacenter!r} (identity "
                f"{report.identity}): its VMs are shown once, under {same.name!r}; remove one of the two from "
                "datacenters.yaml"
            )


async def _ask(connection: ClusterConnection, report: ClusterReport) -> None:
    report.warnings += await connection.warnings()
    _check_certificates(await connection.certificates(), report, datetime.now(UTC))
    report.server_version = await connection.server_version()
    report.reachable = True
    _check_server_certificate(await connection.certificates(), report, datetime.now(UTC))
    report.user = await who_am_i(connection)
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
    await _check_actions(connection, report)


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


async def _kubevirt_versions(connection: ClusterConnection) -> str | None:
    try:
        group = await connection.get_object("/apis/kubevirt.io")
    except StatusError as error:
        if error.code == 404:
            return None
        raise
    versions = group.get("versions")
    names = [member(version, "version") for version in versions] if isinstance(versions, list) else []
    return one_line(",".join(name for name in names if isinstance(name, str))) or None


async def _denied(connection: ClusterConnection) -> tuple[list[str], list[str]]:
    """What we may not do, such as "list and watch virtualmachines.kubevirt.io": first the needed, then the optional."""
    wanted = [Right(verb, resource.group, resource.plural) for resource in WATCHED for verb in _VERBS]
    answers = iter(await asyncio.gather(*(is_allowed(connection, right) for right in wanted)))
    denied = [(resource, [verb for verb in _VERBS if not next(answers)]) for resource in WATCHED]
    needed, optional = list[str](), list[str]()
    for resource, verbs in denied:
        if verbs:
            which = optional if ConnectionState.FORBIDDEN in resource.optional_in else needed
            which.append(f"{' and '.join(verbs)} {resource.plural}.{resource.group}")
    return needed, optional


async def _check_actions(connection: ClusterConnection, report: ClusterReport) -> None:
    """Note which actions are allowed in all namespaces, and what to apply for the others: to watch needs none."""
    wanted = [*((str(a), right, ROLES[a]) for a, right in NEEDED.items()), _CANCEL]
    answers = await asyncio.gather(*(is_allowed(connection, right) for _, right, _ in wanted))
    report.may = [Action(name) for (name, *_), yes in zip(wanted, answers, strict=True) if yes and name in _ACTIONS]
    missing = [(name, role) for (name, _, role), yes in zip(wanted, answers, strict=True) if not yes]
    report.missing_roles = list(dict.fromkeys(f"summit-connect:{role}" for _, role in missing))
    if missing:
        is_all = len(report.missing_roles) == len(set(ROLES.values()))
        parts = _OPERATOR if is_all else f"{', '.join(report.missing_roles)} of {_OPERATOR}"
        report.notes.append(
            f"{report.who} may not {', '.join(name for name, _ in missing)} in all namespaces, which watching does not "
            f"need: to allow it, apply {parts}"
        )


def _check_certificates(certificates: Sequence[Certificate], report: ClusterReport, now: datetime) -> None:
    """Note our own certificate that ends first, and the last of the authorities: bundles keep old ones."""
    authorities = [c.not_after for c in certificates if c.kind == "ca"]
    own = [c.not_after for c in certificates if c.kind == "client"]
    if authorities:
        _check_end("certificate authority of the kubeconfig", max(authorities), report, now)
    if own:
        _check_end("client certificate of the kubeconfig", min(own), report, now)
    report.client_certificate_expires = report.certificate_expires = min(own, default=None)


def _check_server_certificate(certificates: Sequence[Certificate], report: ClusterReport, now: datetime) -> None:
    """Note the certificate that the server shows."""
    for certificate in certificates:
        if certificate.kind == "server":
            _check_end("server's certificate", certificate.not_after, report, now)
            report.server_certificate_expires = certificate.not_after
            report.certificate_expires = min(report.certificate_expires or certificate.not_after, certificate.not_after)


def _check_end(what: str, end: datetime, report: ClusterReport, now: datetime) -> None:
    if end <= now:
        report.problems.append(f"the {what} ended on {end:%Y-%m-%d %H:%M} UTC: get a new one")
    elif end - now < WARN_BEFORE:
        report.warnings.append(f"the {what} ends on {end:%Y-%m-%d %H:%M} UTC: get a new one")
