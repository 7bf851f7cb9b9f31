"""Fixtures of the tests of what KubeVirt answers, and does, when somebody acts on a VM."""

from collections.abc import AsyncIterator

import pytest
from support.simulator_client import client_of
from support.virtctl import Virtctl

from summit_simulator import SimulatedCluster


@pytest.fixture
async def cluster() -> AsyncIterator[SimulatedCluster]:
    """A cluster with the namespace prod and no VM."""
    async with SimulatedCluster("vulcan", tls=False) as cluster:
        cluster.objects.ensure_namespace("prod")
        yield cluster


@pytest.fixture
async def virtctl(cluster: SimulatedCluster) -> AsyncIterator[Virtctl]:
    """Requests about the VM prod/web, which a test creates."""
    async with client_of(cluster) as client:
        yield Virtctl(client, cluster)
