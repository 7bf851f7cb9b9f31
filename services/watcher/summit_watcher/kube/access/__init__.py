"""What lets us into a cluster: its kubeconfig, credentials, plugins and certificates."""
