"""Fixtures of the end-to-end tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.pipeline import Pipeline, running, write_config

from summit_simulator.cluster import SimulatedCluster, simulated_clusters


@pytest.fixture
async def clusters() -> AsyncIterator[list[SimulatedCluster]]:
    """Two clusters whose clocks only move by hand."""
    async with simulated_clusters("vulcan", "romulus") as clusters:
        yield clusters


@pytest.fixture
async def pipeline(
    tmp_path: Path, nats_url: str, database_url: str, clusters: list[SimulatedCluster]
) -> AsyncIterator[Pipeline]:
    """The three services on these clusters, api ready."""
    async with running(tmp_path, nats_url, database_url, write_config(tmp_path, clusters)) as pipeline:
        yield pipeline
