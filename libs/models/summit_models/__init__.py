"""The contract between the parts: what a VM, a migration, a cluster and an event look like. No I/O here."""
