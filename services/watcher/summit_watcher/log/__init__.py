"""The log's side of a cluster: epochs, recovery, positions, health, datacenters, retirement."""
