"""datacenters.yaml: which clusters there are, and where."""
