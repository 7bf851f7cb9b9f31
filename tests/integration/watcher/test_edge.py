"""A watcher inside a cluster behind NAT: its line to NATS goes away, by plain TCP and by websockets with TLS."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
import trustme
from support.nats_server import nats_server
from support.tcp_proxy import Proxy, tcp_proxy
from support.waiting import until
from support.watched import configure, lists, observing, shown_leases, watching

from summit_models.cluster import ConnectionState as State
from summit_simulator.cluster import simulated_clusters
from summit_standalone.embedded.server_process import free_port
from summit_watcher.kube.resources import WATCHED
from summit_watcher.settings import TIMES

pytestmark = pytest.mark.filterwarnings("ignore:parameter 'timeout' of type 'float' is deprecated:DeprecationWarning")
"""nats-py 2.16 gives it to aiohttp."""

VMS = "virtualmachines"
SHORT = replace(TIMES, lease_seconds=1, lease_renew_seconds=0.3, lease_grace_seconds=0.5)
"""A lease expires within two seconds, as others within a minute that is away."""


class Hub(NamedTuple):
    url: str
    """For who is there."""
    proxy: Proxy
    """The line."""
    ca: Path | None


@pytest.fixture(params=["nats", "wss"])
async def hub(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Hub]:
    """NATS with both listeners, and a line to one of them."""
    authority, port = trustme.CA(), free_port()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(tmp_path / "tls.key")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "tls.crt")
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    tls = f'tls {{ cert_file: "{tmp_path}/tls.crt", key_file: "{tmp_path}/tls.key" }}'
    websocket = f'websocket {{ listen: "127.0.0.1:{port}", {tls} }}'
    async with nats_server(tmp_path / "nats", more=websocket) as (address, _):
        is_plain = request.param == "nats"
        url = f"nats://{address}" if is_plain else f"wss://127.0.0.1:{port}"
        async with tcp_proxy(url) as proxy:
            yield Hub(f"nats://{address}", proxy, None if is_plain else tmp_path / "ca.crt")


async def test_while_the_line_is_away_nothing_is_lost_and_nothing_is_listed_again(hub: Hub, tmp_path: Path) -> None:
    """Each change of that time comes in its order, and the cluster keeps its watcher and its epoch.

    Its lease had expired.
    """
    async with (
        simulated_clusters("edge") as (cluster,),
        observing(hub.url) as (log, healths),
        shown_leases(hub.url) as table,
    ):
        vms = [cluster.create_vm(f"vm-{n}", namespace="prod") for n in range(20)]
        config = configure(tmp_path, {cluster.name: cluster.write_kubeconfig(tmp_path / "kubeconfig")})
        async with watching(hub.proxy.url, config, SHORT, NATS_CA=hub.ca):
            await until(lambda: healths.state(cluster.name), lambda state: state == State.SYNCED)
            await log.agrees(cluster)
            hub.proxy.shut()
            for n in range(100):
                cluster.create_vm(f"later-{n}", namespace="prod")
            cluster.delete(VMS, vms[0])
            cluster.delete(VMS, cluster.create_vm("passing", namespace="prod"))
            await until(lambda: not table.leases())
            await hub.proxy.open()
            await until(table.leases)
            await log.agrees(cluster)
            passing = [event.verb for event in log.events("vms") if event.name == "prod/passing"]
            assert (passing[0], passing[-1]) == ("created", "deleted")
            assert log.epoch(cluster.name) == 1
            assert [lists(cluster, resource.plural) for resource in WATCHED] == [1] * len(WATCHED)


@pytest.mark.slow
@pytest.mark.timeout(240)
# nats-py drops the sockets of failed attempts.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_line_that_is_silent_for_a_minute_loses_nothing(hub: Hub, tmp_path: Path) -> None:
    """As when a router has forgotten the connection: it stands, nothing passes, and new ones get no answer either.

    All times are those of production.
    """
    async with simulated_clusters("edge") as (cluster,), observing(hub.url) as (log, healths):
        vms = [cluster.create_vm(f"vm-{n}", namespace="prod") for n in range(20)]
        config = configure(tmp_path, {cluster.name: cluster.write_kubeconfig(tmp_path / "kubeconfig")})
        async with watching(hub.proxy.url, config, NATS_CA=hub.ca):
            await until(lambda: healths.state(cluster.name), lambda state: state == State.SYNCED)
            await log.agrees(cluster)
            hub.proxy.swallows = True
            for n in range(100):
                cluster.create_vm(f"later-{n}", namespace="prod")
            cluster.delete(VMS, vms[0])
            await asyncio.sleep(60)
            hub.proxy.swallows = False
            await until(lambda: not log.differences(cluster), seconds=90)
            assert log.epoch(cluster.name) == 1
            assert [lists(cluster, resource.plural) for resource in WATCHED] == [1] * len(WATCHED)
