"""Acting on all VMs that filters select, as one operation."""
