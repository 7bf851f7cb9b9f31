"""What the log says of one cluster: epochs, positions, health, datacenters, retirement."""
