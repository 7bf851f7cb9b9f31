"""Kubernetes clusters with KubeVirt, faked: for the demo, the tests and the benchmarks."""

from summit_simulator.blast import Blast
from summit_simulator.cluster import SimulatedCluster, simulated_clusters
from summit_simulator.decisions import Pace
from summit_simulator.fleet import seed_fleet
from summit_simulator.life import Life

__all__ = ["Blast", "Life", "Pace", "SimulatedCluster", "seed_fleet", "simulated_clusters"]
