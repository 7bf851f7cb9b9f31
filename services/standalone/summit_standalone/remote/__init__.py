"""An api at an address: of the instance on this machine, or of another one."""
