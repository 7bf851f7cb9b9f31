"""What people change by hand: VMs that no cluster has, and what a datacenter is called and where it is."""
