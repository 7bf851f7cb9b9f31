"""What people ask to be done to the VMs of a cluster: requests to Kubernetes, and the outcome as it is observed."""
