"""Kubeconfigs that are rejected: with them we would do something else than the file says."""

from collections.abc import Iterable
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from summit_watcher.kube.access.kubeconfig import ClusterSection, Kubeconfig, UserSection
from summit_watcher.kube.errors import KubeconfigError

_PAIRS = (
    (("username",), ("password",)),
    (("client_certificate", "client_certificate_data"), ("client_key", "client_key_data")),
)
"""With one of a pair alone the official client sends requests without credentials."""


def check(kubeconfig: Kubeconfig) -> None:
    """Raise KubeconfigError with one sentence for the first thing that is not supported."""
    _check_cluster(kubeconfig.cluster, kubeconfig.path)
    _check_user(kubeconfig.user, kubeconfig.path)


def _check_cluster(cluster: ClusterSection, path: Path) -> None:
    server = _address("server", cluster.server, path)
    if server.scheme not in ("http", "https") or not server.hostname:
        raise KubeconfigError(f"kubeconfig {path}: server {cluster.server!r} is not an http or https address")
    if server.username is not None:
        raise KubeconfigError(f"kubeconfig {path}: server has a user in its address: put it into the user section")
    proxy = _address("proxy-url", cluster.proxy_url or cluster.server, path)
    if proxy.scheme not in ("http", "https"):
        scheme = proxy.scheme or "no"
        raise KubeconfigError(f"kubeconfig {path}: proxy-url with {scheme} scheme is not supported: use http or https")
    if not proxy.hostname:
        raise KubeconfigError(f"kubeconfig {path}: proxy-url has no host")
    if cluster.tls_server_name and not _is_host(cluster.tls_server_name):
        raise KubeconfigError(f"kubeconfig {path}: tls-server-name {cluster.tls_server_name!r} is not a host name")


def _check_user(user: UserSection, path: Path) -> None:
    if any((user.impersonate, user.impersonate_uid, user.impersonate_groups, user.impersonate_extra)):
        raise KubeconfigError(
            f"kubeconfig {path}: impersonation ('as') is not supported, and ignoring it would use "
            "wider rights than the file says: create a user for the watcher"
        )
    for one, other in _PAIRS:
        if any(getattr(user, field) for field in one) != any(getattr(user, field) for field in other):
            raise KubeconfigError(
                f"kubeconfig {path}: its user section has one of {_words(one)} and {_words(other)}, and needs both"
            )
    if user.auth_provider == {}:
        raise KubeconfigError(f"kubeconfig {path}: its auth-provider is empty")
    if user.auth_provider and not isinstance(user.auth_provider.get("config") or {}, dict):
        raise KubeconfigError(f"kubeconfig {path}: the config of its auth-provider is not a map")
    if user.exec and user.exec.interactive_mode == "Always":
        raise KubeconfigError(
            f"kubeconfig {path}: plugin {user.exec.command!r} has interactiveMode Always, and nobody can answer it"
        )


def _address(what: str, url: str, path: Path) -> SplitResult:
    """The parts of an address. Raises KubeconfigError, without the address: some contain a password."""
    try:
        parts = urlsplit(url)
        if (parts.port is None or parts.port) and _is_host(parts.hostname or ""):
            return parts
    except ValueError:
        pass
    raise KubeconfigError(f"kubeconfig {path}: the host or the port in {what} is not valid")


def _is_host(name: str) -> bool:
    """Whether it can be resolved and sent to a TLS server at all."""
    try:
        name.encode("idna")
    except UnicodeError:
        return False
    return "\0" not in name


def _words(fields: Iterable[str]) -> str:
    return "/".join(field.replace("_", "-") for field in fields)
