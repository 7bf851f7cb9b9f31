"""Acting on VMs from the command line."""
