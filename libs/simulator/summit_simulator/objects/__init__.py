"""Kubernetes and KubeVirt objects, and the store that keeps them."""
