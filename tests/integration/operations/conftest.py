"""Fixtures of the tests of operations: a real log, a simulated cluster with the VM prod/web, and a watcher of both."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.operating import TIMES, Operating, config_of
from support.projecting import publisher
from support.simulator_client import client_of
from support.virtctl import Virtctl
from support.watched import observing, watching

from summit_simulator import SimulatedCluster


@pytest.fixture
async def cluster() -> AsyncIterator[SimulatedCluster]:
    """A cluster in which a minute takes half a second."""
    async with SimulatedCluster("vulcan", tls=False, speed=120) as cluster:
        cluster.objects.ensure_namespace("prod")
        yield cluster


@pytest.fixture
async def virtctl(cluster: SimulatedCluster) -> AsyncIterator[Virtctl]:
    """A look at the VM prod/web, which a test creates."""
    async with client_of(cluster) as client:
        yield Virtctl(client, cluster)


@pytest.fixture
async def operating(nats_url: str, cluster: SimulatedCluster) -> AsyncIterator[Operating]:
    """Asks for operations; no watcher runs."""
    async with publisher(nats_url) as client, observing(nats_url) as (log, healths):
        yield Operating(client, log, healths, cluster)


@pytest.fixture
def config(tmp_path: Path, cluster: SimulatedCluster) -> Path:
    """The datacenters.yaml of a watcher of the cluster."""
    return config_of(tmp_path, cluster)


@pytest.fixture
async def watched(nats_url: str, config: Path, operating: Operating) -> AsyncIterator[Operating]:
    """The same, with a watcher that has begun."""
    async with watching(nats_url, config, TIMES):
        await operating.watched()
        yield operating
