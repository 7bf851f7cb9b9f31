"""What KubeVirt's controllers do to the objects, and the clock that they follow."""
