"""Kubernetes clusters with KubeVirt, faked: for the demo, the tests and the benchmarks."""

from summit_simulator.cluster import SimulatedCluster, simulated_clusters
from summit_simulator.fleet.blast import Blast
from summit_simulator.fleet.life import Life
from summit_simulator.fleet.seed import seed_fleet

__all__ = ["Blast", "Life", "SimulatedCluster", "seed_fleet", "simulated_clusters"]
