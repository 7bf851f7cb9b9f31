"""Fixtures of the simulator's tests."""

from collections.abc import AsyncIterator

import pytest
from support.simulator_client import Client, client_of

from summit_simulator import SimulatedCluster


@pytest.fixture
async def cluster() -> AsyncIterator[SimulatedCluster]:
    """A cluster with one stopped VM, unless a test module has another."""
    async with SimulatedCluster("vulcan") as cluster:
        cluster.create_vm("web", namespace="prod", labels={"app": "web"})
        yield cluster


@pytest.fixture
async def client(cluster: SimulatedCluster) -> AsyncIterator[Client]:
    """A client of the cluster."""
    async with client_of(cluster) as client:
        yield client
