"""`check` finds everything that would stop the watcher, and gives the remedy."""

import base64
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from aiohttp import web
from cryptography import x509
from support.rights import rules

from summit_models.operation import Action
from summit_simulator.access import kubeconfig
from summit_simulator.access.tls import CertificateAuthority, server_context
from summit_simulator.cluster import SimulatedCluster
from summit_simulator.objects.resources import KUBEVIRT_GROUPS
from summit_standalone.commands.checking import Findings, as_text
from summit_watcher.check import check_cluster, check_clusters
from summit_watcher.config.datacenters import ClusterConfig, Configuration


@pytest.fixture
async def cluster() -> AsyncIterator[SimulatedCluster]:
    """A cluster with KubeVirt whose admin may do everything."""
    async with SimulatedCluster("vulcan") as simulated:
        yield simulated


@pytest.fixture
def config(cluster: SimulatedCluster, tmp_path: Path) -> ClusterConfig:
    """The cluster as datacenters.yaml would declare it, with a token."""
    return ClusterConfig("vulcan", "dc-solna", cluster.write_kubeconfig(tmp_path / "vulcan.yaml"))


def edit(path: Path, section: str, key: str, value: object) -> None:
    """Change one member of the only cluster or user of a kubeconfig."""
    content = yaml.safe_load(path.read_text())
    content[f"{section}s"][0][section][key] = value
    path.write_text(yaml.safe_dump(content))


async def test_a_good_cluster_has_no_problem(config: ClusterConfig) -> None:
    """The report has version, user, KubeVirt and the end of the server's certificate."""
    report = await check_cluster(config)
    assert (report.problems, report.warnings) == ([], [])
    assert report.reachable
    assert report.allowed
    assert report.user == "admin"
    assert report.server_version
    assert report.server_version.startswith("v1.")
    assert report.kubevirt
    assert "v1" in report.kubevirt.split(",")
    assert report.certificate_expires
    assert report.certificate_expires > datetime.now(UTC) + timedelta(days=300)


async def test_a_missing_kubeconfig_is_a_problem(tmp_path: Path) -> None:
    """The sentence names the file."""
    report = await check_cluster(ClusterConfig("vulcan", "dc-solna", tmp_path / "none.yaml"))
    assert report.problems == [f"kubeconfig not found at {tmp_path / 'none.yaml'}"]
    assert not report.reachable


async def test_an_unreachable_cluster_is_a_problem(cluster: SimulatedCluster, config: ClusterConfig) -> None:
    """The sentence names the address, and no other request is sent."""
    cluster.faults.refuse_connections()
    report = await check_cluster(config)
    assert report.problems == [f"connection refused by 127.0.0.1:{cluster.port}"]
    assert report.user is None


async def test_a_refused_token_is_a_problem(cluster: SimulatedCluster, config: ClusterConfig) -> None:
    """The server does not know the token any more."""
    cluster.access.revoke("admin")
    report = await check_cluster(config)
    assert len(report.problems) == 1
    assert "refuses the credentials" in report.problems[0]


async def test_an_unknown_identity_is_a_warning(cluster: SimulatedCluster, config: ClusterConfig) -> None:
    """Watching works, but another cluster at the same address would not be noticed."""
    cluster.access.forbid("get", "namespaces")
    report = await check_cluster(config)
    (warning,) = report.warnings
    assert "user 'admin' may not get namespaces/kube-system" in warning
    assert report.problems == []


async def test_another_cluster_than_declared_is_a_problem(cluster: SimulatedCluster, config: ClusterConfig) -> None:
    """The watcher would publish nothing of that cluster."""
    assert (await check_cluster(replace(config, identity=cluster.uid))).problems == []
    (problem,) = (await check_cluster(replace(config, identity="another", line=7))).problems
    assert problem.startswith(f"its identity is {cluster.uid}, and datacenters.yaml line 7 says another")


async def test_a_missing_right_is_a_problem_that_names_it(cluster: SimulatedCluster, config: ClusterConfig) -> None:
    """Each resource that may not be listed or watched is named with its group."""
    cluster.access.forbid("watch", "virtualmachines")
    cluster.access.forbid("*", "virtualmachineclusterinstancetypes")
    report = await check_cluster(config)
    assert report.allowed is False
    (problem,) = report.problems
    assert problem == (
        "user 'admin' may not watch virtualmachines.kubevirt.io; "
        "list and watch virtualmachineclusterinstancetypes.instancetype.kubevirt.io: "
        "grant it by applying config/rbac/watcher.yaml"
    )


async def test_a_missing_right_to_datavolumes_is_a_warning(cluster: SimulatedCluster, config: ClusterConfig) -> None:
    """VMs are watched without it, and lack the progress of their imports."""
    cluster.access.forbid("list", "datavolumes")
    report = await check_cluster(config)
    assert (report.problems, report.allowed) == ([], True)
    (warning,) = report.warnings
    assert warning == (
        "user 'admin' may not list datavolumes.cdi.kubevirt.io, which is optional: "
        "grant it by applying config/rbac/watcher.yaml"
    )


async def test_actions_that_are_not_allowed_are_a_note_that_says_what_to_apply(
    cluster: SimulatedCluster, config: ClusterConfig
) -> None:
    """Watching needs none of them, so this is neither a problem nor a warning."""
    report = await check_cluster(config)
    assert (report.may, report.missing_roles, report.notes) == (list(Action), [], [])
    cluster.access.forbid("update", "virtualmachines/restart")
    cluster.access.forbid("patch", "virtualmachines")
    report = await check_cluster(config)
    assert (report.problems, report.warnings) == ([], [])
    assert set(Action) - set(report.may or ()) == {Action.RESTART, Action.RESIZE}
    (note,) = report.notes
    assert note == (
        "user 'admin' may not restart, resize in all namespaces, which watching does not need: to allow it, apply "
        "summit-connect:operator-power, summit-connect:operator-sizes of config/rbac/operator.yaml"
    )
    assert (as_text(Findings(Path(), Configuration(), [report]), datetime.now(UTC))).endswith(note)


async def test_who_may_watch_only_is_shown_to_act_on_nothing(cluster: SimulatedCluster, tmp_path: Path) -> None:
    """All of operator.yaml is missing, also the right to cancel a migration."""
    cluster.access.add_token("watcher")
    cluster.access.bind("watcher", rules()[""])
    path = cluster.write_kubeconfig(tmp_path / "kc", user="watcher")
    report = await check_cluster(ClusterConfig("vulcan", "dc-solna", path))
    assert (report.problems, report.warnings, report.may) == ([], [], [])
    (note,) = report.notes
    assert "delete, cancel a migration in all namespaces" in note
    assert note.endswith("to allow it, apply config/rbac/operator.yaml")
    assert " none " in as_text(Findings(Path(), Configuration(), [report]), datetime.now(UTC))


async def test_a_cluster_without_kubevirt_is_a_problem(cluster: SimulatedCluster, config: ClusterConfig) -> None:
    """The API group decides, since rights can be granted for resources that do not exist."""
    cluster.uninstall(KUBEVIRT_GROUPS)
    report = await check_cluster(config)
    assert report.kubevirt is None
    assert ["KubeVirt is missing" in problem for problem in report.problems] == [True]


@pytest.mark.parametrize(
    ("days", "found", "sentence"),
    [(-1, "problems", "ended on"), (6, "warnings", "ends on")],
    ids=["expired", "within a week"],
)
async def test_a_client_certificate_that_ends_is_reported_with_its_date(
    cluster: SimulatedCluster, config: ClusterConfig, days: int, found: str, sentence: str
) -> None:
    """The server's own sentence is vague. One that ends soon still works, but someone has to request a new one."""
    assert cluster.authority
    pair = cluster.authority.issue_client("admin", valid_for=timedelta(days=days))
    edit(config.kubeconfig, "user", "client-certificate-data", base64.b64encode(pair.certificate_pem).decode())
    edit(config.kubeconfig, "user", "client-key-data", base64.b64encode(pair.key_pem).decode())
    report = await check_cluster(config)
    assert any(f"the client certificate of the kubeconfig {sentence}" in each for each in getattr(report, found))
    assert bool(report.problems) is (found == "problems")


async def test_a_kubeconfig_that_is_open_to_others_is_a_warning(config: ClusterConfig) -> None:
    """Readable secrets and a server that is not verified are warnings: both work."""
    edit(config.kubeconfig, "cluster", "insecure-skip-tls-verify", value=True)
    edit(config.kubeconfig, "cluster", "certificate-authority-data", value=None)
    config.kubeconfig.chmod(0o644)
    report = await check_cluster(config)
    assert report.problems == []
    assert ["chmod 600" in report.warnings[0], "insecure-skip-tls-verify" in report.warnings[1]] == [True, True]


async def test_the_end_of_the_servers_certificate_is_shown_and_not_its_authoritys(tmp_path: Path) -> None:
    """The authority lives for ten years, and the certificates that someone has to replace for one."""
    authority = CertificateAuthority("test")
    pair = authority.issue_server(["127.0.0.1"], valid_for=timedelta(days=5))

    async def version(_: web.BaseRequest) -> web.StreamResponse:
        return web.json_response({"gitVersion": "v1.36.0"})

    runner = web.ServerRunner(web.Server(version))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server_context(authority, pair)).start()
        server = f"https://127.0.0.1:{runner.addresses[0][1]}"
        content = kubeconfig.render(name="c", server=server, user={"token": "t"}, ca_pem=authority.certificate_pem)
        path = kubeconfig.write(tmp_path / "kc", content)
        report = await check_cluster(ClusterConfig("c", "dc-solna", path))
    finally:
        await runner.cleanup()
    assert report.certificate_expires == x509.load_pem_x509_certificate(pair.certificate_pem).not_valid_after_utc
    assert any(warning.startswith("the server's certificate ends on") for warning in report.warnings)


async def test_a_client_certificate_that_ends_first_is_shown(cluster: SimulatedCluster, tmp_path: Path) -> None:
    """Whichever of the two ends first needs a person."""
    assert cluster.authority
    path = cluster.write_kubeconfig(tmp_path / "kc", credential="certificate")
    pair = cluster.authority.issue_client("admin", valid_for=timedelta(days=30))
    edit(path, "user", "client-certificate-data", base64.b64encode(pair.certificate_pem).decode())
    edit(path, "user", "client-key-data", base64.b64encode(pair.key_pem).decode())
    report = await check_cluster(ClusterConfig("vulcan", "dc-solna", path))
    assert report.problems == []
    assert report.certificate_expires == report.client_certificate_expires
    assert report.client_certificate_expires
    assert timedelta(days=29) < report.client_certificate_expires - datetime.now(UTC) < timedelta(days=31)
    table = as_text(Findings(path, Configuration(), [report]), datetime.now(UTC))
    assert re.search(r"server \d+d, client 29d", table)


async def test_one_cluster_under_two_names_is_a_problem_that_names_both(
    cluster: SimulatedCluster, config: ClusterConfig, tmp_path: Path
) -> None:
    """All its VMs would appear under one of the two names. Another address leads to the same cluster."""
    url = cluster.url.replace("127.0.0.1", "localhost")
    other = ClusterConfig("romulus", "dc-uppsala", cluster.write_kubeconfig(tmp_path / "other", server=url))
    first, second = await check_clusters([config, other])
    assert first.problems == []
    (problem,) = second.problems
    assert problem == (
        f"it is the same cluster as 'vulcan' of datacenter 'dc-solna' (identity {cluster.uid}): its VMs are shown "
        "once, under 'vulcan'; remove one of the two from datacenters.yaml"
    )


async def test_clusters_are_checked_side_by_side_and_reported_in_order(config: ClusterConfig, tmp_path: Path) -> None:
    """A broken cluster does not change the report of the others."""
    broken = ClusterConfig("broken", "dc-solna", tmp_path / "none.yaml")
    reports = await check_clusters([broken, config])
    assert [(report.name, bool(report.problems)) for report in reports] == [("broken", True), ("vulcan", False)]
