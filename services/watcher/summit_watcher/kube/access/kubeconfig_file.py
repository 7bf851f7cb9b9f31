"""Reads kubeconfig files, and watches them with the files that they name.

Each defect is one sentence. The official loader answers the same defects with five exception types. A kubeconfig with
which we would do something else than the file says is rejected.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar
from urllib.parse import SplitResult, urlsplit

import msgspec
import yaml

from summit_runtime.watched_files import WatchedFiles, read_limited
from summit_watcher.kube.access.kubeconfig import ClusterSection, Kubeconfig, Section, UserSection
from summit_watcher.kube.errors import KubeconfigError


class _ContextSection(Section, frozen=True):
    cluster: str = ""
    user: str = ""


class _Named(msgspec.Struct, frozen=True):
    name: str


class _NamedCluster(_Named, frozen=True):
    cluster: ClusterSection


class _NamedContext(_Named, frozen=True):
    context: _ContextSection


class _NamedUser(_Named, frozen=True):
    user: UserSection | None = None


class _File(Section, frozen=True):
    current_context: str | None = None
    clusters: list[_NamedCluster] | None = None
    contexts: list[_NamedContext] | None = None
    users: list[_NamedUser] | None = None


# msgspec prepares a type at its first use. Two threads (one per cluster) that do so at the same moment end the
# interpreter with SIGSEGV (0.22.0; one start in fifteen on a busy machine), so it is prepared here.
msgspec.convert({}, _File)


NamedT = TypeVar("NamedT", bound=_Named)

_PAIRS = (
    (("username",), ("password",)),
    (("client_certificate", "client_certificate_data"), ("client_key", "client_key_data")),
)
"""With one of a pair alone the official client sends requests without credentials."""


def read(path: Path, context: str | None = None) -> Kubeconfig:
    """Read one context of a file. Raises KubeconfigError with one sentence, whatever is wrong with it."""
    try:
        text = read_limited(path).decode()
    except FileNotFoundError:
        raise KubeconfigError(f"kubeconfig not found at {path}") from None
    except IsADirectoryError:
        raise KubeconfigError(f"kubeconfig {path} is a directory: name the file in it") from None
    except UnicodeDecodeError:
        raise KubeconfigError(f"kubeconfig {path} is not a text file") from None
    except OSError as error:
        raise KubeconfigError(f"kubeconfig {path} cannot be read: {error.strerror}") from error
    return parse(text, path, context)


def parse(text: str, path: Path, context: str | None = None) -> Kubeconfig:
    """The named context of a kubeconfig's text, or else its current one. Raises KubeconfigError."""
    file = _file(text, path)
    name = context or file.current_context
    if not name:
        known = ", ".join(c.name for c in file.contexts or ()) or "none"
        raise KubeconfigError(f"kubeconfig {path} has no current-context: name a context (it has: {known})")
    chosen = _find(file.contexts, name, "context", path).context
    cluster = _find(file.clusters, chosen.cluster, "cluster", path).cluster
    # A context without a user is anonymous on purpose. One that names a missing user is a mistake.
    user = _find(file.users, chosen.user, "user", path).user if chosen.user else None
    kubeconfig = Kubeconfig(path, name, cluster, user or UserSection())
    _check(kubeconfig)
    return kubeconfig


def _file(text: str, path: Path) -> _File:
    try:
        document = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise KubeconfigError(f"kubeconfig {path}{line} is not YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise KubeconfigError(f"kubeconfig {path} is not YAML: {error}") from error
    if document is None:
        raise KubeconfigError(f"kubeconfig {path} is empty")
    try:
        return msgspec.convert(document, _File)
    except msgspec.ValidationError as error:
        raise KubeconfigError(f"kubeconfig {path} is not a kubeconfig: {error}") from None


def _find(entries: Iterable[NamedT] | None, name: str, what: str, path: Path) -> NamedT:
    found = [entry for entry in entries or () if entry.name == name]
    if not found:
        known = ", ".join(entry.name for entry in entries or ()) or "none"
        raise KubeconfigError(f"kubeconfig {path} has no {what} {name!r} (it has: {known})")
    if len(found) > 1:
        raise KubeconfigError(f"kubeconfig {path} has {len(found)} {what}s named {name!r}")
    return found[0]


def read_noted(files: WatchedFiles, path: Path, context: str | None) -> Kubeconfig:
    """Read a kubeconfig, and note it and the files that it names in `files`, before they are used. Blocks.

    Raises KubeconfigError. Either way, only a later change of the files counts.
    """
    files.note(path)
    kubeconfig = read(path, context)
    files.note_also(*kubeconfig.named_files)
    return kubeconfig


def _check(kubeconfig: Kubeconfig) -> None:
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
