"""What the log has of a cluster: epochs, what was published, positions, health, datacenters, retirement."""
