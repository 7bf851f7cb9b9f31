"""Kubernetes clusters with KubeVirt, faked: for the demo, the tests and the benchmarks."""

from summit_simulator.cluster import SimulatedCluster, simulated_clusters
from summit_simulator.decisions import Pace

__all__ = ["Pace", "SimulatedCluster", "simulated_clusters"]
