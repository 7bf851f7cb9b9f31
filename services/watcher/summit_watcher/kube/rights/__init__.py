"""What our credentials allow us to do to virtual machines, as the cluster itself answers."""
