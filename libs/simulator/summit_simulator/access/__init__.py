"""How clients get in: the socket, TLS, kubeconfigs, tokens and rules."""
