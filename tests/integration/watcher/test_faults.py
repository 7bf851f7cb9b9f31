"""A cluster in trouble, seen from the log: nothing is lost, nothing wrongly deleted, and its neighbour notices nothing.

The replayed log must agree with the clusters' own stores, and the published health shows what people see. Only the
pauses are shorter than by default.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.x509 import load_pem_x509_certificate
from support.builders import vm
from support.credential_plugin import Plugin
from support.waiting import until
from support.watched import Healths, Log, configure, lists, observing, watching

from summit_models.cluster import ConnectionState as State
from summit_simulator.access.tls import server_context
from summit_simulator.api.faults import GARBAGE, INVALID_UTF8
from summit_simulator.cluster import SimulatedCluster
from summit_simulator.objects.resources import KUBEVIRT_GROUPS
from summit_watcher.listwatch.state import SETBACKS
from summit_watcher.settings import Retry, WatcherTimes

VMS, MIGRATIONS = "virtualmachines", "virtualmachineinstancemigrations"
TIMES = WatcherTimes(retries=dict.fromkeys(State, Retry(0.05, 0.2)))
"""Failures that a person must correct are tried again within a second."""


@dataclass
class Scene:
    """A cluster that gets into trouble, one that does not, and what is published of both."""

    cluster: SimulatedCluster
    neighbour: SimulatedCluster
    log: Log
    healths: Healths

    async def becomes(self, state: State, resource: str | None = None) -> None:
        await until(lambda: self.healths.state("vulcan", resource) == state)

    def reason(self, resource: str = VMS) -> str:
        return next(r.reason or "" for r in self.healths.newest["vulcan"].resources if r.resource == resource)

    async def agrees(self) -> None:
        """The log is true, and the neighbour has not been disturbed at any time."""
        await self.log.agrees(self.cluster, self.neighbour)
        await until(lambda: self.healths.state("romulus") == State.SYNCED)
        assert len([r for r in self.neighbour.requests_for(VMS) if r.verb in ("list", "watch")]) == 1


@asynccontextmanager
async def scene(directory: Path, nats_url: str, cluster: SimulatedCluster, kubeconfig: Path) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as stack:
        neighbour = await stack.enter_async_context(SimulatedCluster("romulus"))
        for each in (cluster, neighbour):
            each.create_vm("web", namespace="prod")
        romulus = neighbour.write_kubeconfig(directory / "romulus")
        config = configure(directory, {"vulcan": kubeconfig, "romulus": romulus})
        log, healths = await stack.enter_async_context(observing(nats_url))
        await stack.enter_async_context(watching(nats_url, config, TIMES))
        yield Scene(cluster, neighbour, log, healths)


@pytest.fixture
async def vulcan() -> AsyncIterator[SimulatedCluster]:
    async with SimulatedCluster("vulcan") as simulated:
        yield simulated


@pytest.fixture
async def trouble(tmp_path: Path, nats_url: str, vulcan: SimulatedCluster) -> AsyncIterator[Scene]:
    """Both clusters watched, and known."""
    kubeconfig = vulcan.write_kubeconfig(tmp_path / "vulcan")
    async with scene(tmp_path, nats_url, vulcan, kubeconfig) as made:
        await made.becomes(State.SYNCED)
        await made.agrees()
        yield made


async def test_the_health_of_a_cluster_has_its_versions_and_its_objects(trouble: Scene) -> None:
    """The versions, the number of objects, and the times of the last list and the last byte."""
    await until(lambda: trouble.healths.newest["vulcan"].kubevirt_version)
    health = trouble.healths.newest["vulcan"]
    assert (health.server_version or "").startswith("v1.")
    vms = next(resource for resource in health.resources if resource.resource == VMS)
    assert vms.known_objects == 1
    assert vms.last_sync is not None
    assert vms.last_contact is not None


@pytest.mark.parametrize("path", ["/version", "/apis/subresources.kubevirt.io/v1/version"])
async def test_a_version_that_could_not_be_read_is_asked_for_again(
    tmp_path: Path, nats_url: str, vulcan: SimulatedCluster, path: str
) -> None:
    """One failed request leaves no version unknown until the next list, and discards no version that is known."""
    vulcan.faults.respond(503, path, times=1)
    async with scene(tmp_path, nats_url, vulcan, vulcan.write_kubeconfig(tmp_path / "vulcan")) as made:
        await until(lambda: "vulcan" in made.healths.newest and made.healths.newest["vulcan"].kubevirt_version)
        assert made.healths.newest["vulcan"].server_version
        assert lists(vulcan) == 1


async def test_credentials_that_end_are_renewed_once_for_all_list_watches(
    tmp_path: Path, nats_url: str, vulcan: SimulatedCluster
) -> None:
    """The plugin runs once for all list-watches. They resume without a list, and no request is anonymous."""
    plugin = Plugin(tmp_path, vulcan)
    plugin.gives({"token": vulcan.token})
    async with scene(tmp_path, nats_url, vulcan, plugin.write_kubeconfig()) as made:
        await made.becomes(State.SYNCED)
        vulcan.access.revoke("admin")
        plugin.gives({"token": vulcan.access.add_token("admin")})
        vulcan.faults.close_streams(abort=True)
        vulcan.create_vm("later", namespace="prod")
        await made.agrees()
    assert plugin.runs == 2
    assert lists(vulcan) == 1
    assert {request.user for request in vulcan.requests} == {"admin", None}


async def test_a_forbidden_resource_degrades_the_cluster_and_deletes_nothing(trouble: Scene) -> None:
    """Migrations alone: VMs are watched as before, and migrations that were known stay until they can be seen again."""
    cluster = trouble.cluster
    vm = cluster.create_vm("moving", namespace="prod", run_strategy="Always")
    await cluster.settle()
    await cluster.migrate(vm)
    await until(lambda: trouble.log.events("migrations"))
    rule = cluster.access.forbid("*", MIGRATIONS)
    cluster.faults.close_streams(MIGRATIONS, abort=True)
    await trouble.becomes(State.FORBIDDEN, MIGRATIONS)
    assert trouble.healths.state("vulcan") == State.DEGRADED
    assert trouble.healths.state("vulcan", VMS) == State.SYNCED
    assert f'resource "{MIGRATIONS}"' in trouble.reason(MIGRATIONS)
    cluster.create_vm("later", namespace="prod")
    await trouble.agrees()
    assert trouble.log.deletes("migrations") == 0
    cluster.access.allow(rule)
    await trouble.becomes(State.SYNCED)
    assert trouble.log.deletes("migrations") == 0


async def test_kubevirt_comes_goes_and_returns(tmp_path: Path, nats_url: str, vulcan: SimulatedCluster) -> None:
    """Its absence is not a defect and deletes nothing. The last contact stays as it was, so the VMs become stale."""
    vulcan.uninstall(KUBEVIRT_GROUPS)
    async with scene(tmp_path, nats_url, vulcan, vulcan.write_kubeconfig(tmp_path / "vulcan")) as made:
        await made.becomes(State.CRD_MISSING)
        assert "KubeVirt or CDI is not installed" in made.reason()
        vulcan.install(KUBEVIRT_GROUPS)
        await made.becomes(State.SYNCED)
        await made.agrees()
        vulcan.uninstall(KUBEVIRT_GROUPS)
        await made.becomes(State.CRD_MISSING)
        last_contact = made.healths.newest["vulcan"].last_contact
        requests = len(vulcan.requests_for(VMS))
        await until(lambda: len(vulcan.requests_for(VMS)) > requests + 2)
        assert made.healths.newest["vulcan"].last_contact == last_contact
        vulcan.install(KUBEVIRT_GROUPS)
        vulcan.create_vm("later", namespace="prod")
        await made.becomes(State.SYNCED)
        await made.agrees()
        assert made.log.deletes("vms") == 0


async def test_certificate_trouble_shows_as_a_sentence_and_ends(trouble: Scene) -> None:
    """A server certificate that has expired, one for another name, no TLS at all; then a good one again."""
    cluster, authority = trouble.cluster, trouble.cluster.authority
    assert authority is not None
    expired = authority.issue_server(["127.0.0.1"], valid_for=timedelta(days=-1))
    elsewhere = authority.issue_server(["api.fra.example"])
    until_when = load_pem_x509_certificate(expired.certificate_pem).not_valid_after_utc
    for tls, words in (
        (server_context(authority, expired), f"to {until_when:%Y-%m-%d %H:%M} UTC"),
        (
            server_context(authority, elsewhere),
            "it shows CN=kube-apiserver,OU=simulator,O=kubernetes, for api.fra.example",
        ),
        (None, "it does not speak TLS"),
    ):
        await cluster.faults.present(tls)
        await until(lambda words=words: words in trouble.reason())  # type: ignore[misc]
        assert trouble.healths.state("vulcan", VMS) == State.TLS_ERROR
    cluster.create_vm("meanwhile", namespace="prod")
    await cluster.faults.present(server_context(authority, authority.issue_server(["127.0.0.1"])))
    await trouble.becomes(State.SYNCED)
    await trouble.agrees()
    assert lists(cluster) == 1


META = b'"metadata":{"namespace":"prod","name":"odd"'
BAD_LINES = [
    pytest.param(GARBAGE, id="cut JSON"),
    pytest.param(INVALID_UTF8, id="invalid UTF-8"),
    pytest.param(b"<html><body>Sign in</body></html>\n", id="HTML"),
    pytest.param(b"null\n", id="null"),
    pytest.param(b'{"type":"MODIFIED","object":{%s,"resourceVersion":"9999"}}}\n' % META, id="no uid"),
    pytest.param(b'{"type":"MODIFIED","object":{%s,"uid":"u"}}}\n' % META, id="no resourceVersion"),
    pytest.param(b'{"type":"PATCHED","object":{%s,"uid":"u","resourceVersion":"9999"}}}\n' % META, id="unknown type"),
]


@pytest.mark.parametrize("line", BAD_LINES)
async def test_a_line_that_cannot_be_read_costs_only_itself(trouble: Scene, line: bytes) -> None:
    """The watch begins again before it; a server that repeats the line gets a list instead of a third watch."""
    cluster = trouble.cluster
    for number in range(SETBACKS):
        cluster.create_vm(f"before-{number}", namespace="prod")
        requests = len(cluster.requests_for(VMS))
        cluster.faults.send_garbage(VMS, line=line)
        cluster.create_vm(f"after-{number}", namespace="prod")
        await until(lambda seen=requests: len(cluster.requests_for(VMS)) > seen)  # type: ignore[misc]
    await trouble.agrees()
    assert trouble.log.deletes("vms") == 0


async def test_odd_objects_are_kept_as_far_as_they_can_be_read(trouble: Scene) -> None:
    """Lists that are null, a number for a quantity, 1.4 MB in a line, a spec that is none: neighbours are not hurt."""
    cluster = trouble.cluster
    domain = {"memory": {"guest": 4294967296}, "cpu": None, "devices": {"disks": None}}
    odd = {"template": {"spec": {"domain": domain, "networks": None, "volumes": None}}, "dataVolumeTemplates": None}
    cluster.create(VMS, vm("nulls", labels=None, ownerReferences=None) | {"spec": odd, "status": {"conditions": None}})
    cluster.create(VMS, vm("huge", annotations={"text": "x" * 1_400_000}))
    await trouble.agrees()
    cluster.create(VMS, vm("degraded") | {"spec": "none"})
    cluster.create_vm("behind", namespace="prod")
    await until(lambda: "prod/behind" in {event.name for event in trouble.log.events("vms")})
    found = {event.name: event.state for event in trouble.log.events("vms")}
    assert found["prod/nulls"]["memory"] == 4096
    assert (found["prod/degraded"]["cpu"], found["prod/degraded"]["status"]) == (None, "running")
    assert any("spec" in problem for problem in found["prod/degraded"]["problems"])
    assert len(cluster.requests_for(VMS)) == 1
