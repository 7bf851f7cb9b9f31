"""virt-api: what KubeVirt lets people ask of VMs, its refusals, and its admission webhooks."""
