"""Access to a cluster: its kubeconfig, credentials, plugins and certificates."""
