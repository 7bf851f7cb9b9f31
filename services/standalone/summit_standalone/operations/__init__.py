"""`summit-connect operations`: what was asked to be done to VMs, and how it ended."""
