"""Edits by hand: VMs that are in no cluster, and the name and location of datacenters."""
