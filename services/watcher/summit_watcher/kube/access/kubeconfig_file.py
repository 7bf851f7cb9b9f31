"""Reads kubeconfig files as client-go does, and watches them with the files that they name.

Only what the chosen context needs is read: the rest of the file belongs to others. Each defect is one sentence. A
kubeconfig with which we would do something else than the file says is rejected.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import SplitResult, urlsplit

import msgspec

from summit_runtime.watched_files import WatchedFiles, read_limited
from summit_watcher.kube.access.kubeconfig import ClusterSection, Kubeconfig, Section, UserSection
from summit_watcher.kube.access.kubeconfig_text import document_of, flag, text, typed
from summit_watcher.kube.bounds import ENTRY_NODES, one_line
from summit_watcher.kube.errors import KubeconfigError


class _ContextSection(Section, frozen=True):
    cluster: str = ""
    user: str = ""


class _File(Section, frozen=True):
    current_context: str | None = None
    clusters: list[Any] | None = None
    contexts: list[Any] | None = None
    users: list[Any] | None = None


# msgspec prepares a type at its first use. Two threads (one per cluster) that do so at the same moment end the
# interpreter with SIGSEGV (0.22.0; one start in fifteen on a busy machine), so it is prepared here.
for _kind in (_File, _ContextSection, ClusterSection, UserSection):
    msgspec.convert({}, _kind)


_FLAGS = frozenset({"insecure-skip-tls-verify", "disable-compression", "provideClusterInfo"})
"""The only members that are not texts."""

SectionT = TypeVar("SectionT", bound=Section)

_PAIRS = (
    (("username",), ("password",)),
    (("client_certificate", "client_certificate_data"), ("client_key", "client_key_data")),
)
"""With one of a pair alone the official client sends requests without credentials."""


def read(path: Path, context: str | None = None) -> Kubeconfig:
    """Read one context of a file. Raises KubeconfigError with one sentence, whatever is wrong with it."""
    try:
        content = read_limited(path)
    except FileNotFoundError:
        raise KubeconfigError(f"kubeconfig not found at {path}") from None
    except IsADirectoryError:
        raise KubeconfigError(f"kubeconfig {path} is a directory: name the file in it") from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise KubeconfigError(f"kubeconfig {path} cannot be read: {getattr(error, 'strerror', error)}") from error
    return parse(content, path, context)


def parse(content: bytes, path: Path, context: str | None = None) -> Kubeconfig:
    """The named context of a kubeconfig's content, or else its current one. Raises KubeconfigError."""
    file = _file(document_of(content, path), path)
    name = context or file.current_context
    if not name:
        known = ", ".join(_names(file.contexts)) or "none"
        raise KubeconfigError(f"kubeconfig {path} has no current-context: name a context (it has: {known})")
    chosen = _find(file.contexts, name, "context", _ContextSection, path)
    cluster = _find(file.clusters, chosen.cluster, "cluster", ClusterSection, path)
    # A context without a user is anonymous on purpose. One that names a missing user is a mistake.
    user = _find(file.users, chosen.user, "user", UserSection, path) if chosen.user else UserSection()
    kubeconfig = Kubeconfig(path, name, cluster, user)
    _check(kubeconfig)
    return kubeconfig


def _file(document: Any, path: Path) -> _File:
    """The lists of the file; their entries stay as they are."""
    try:
        return msgspec.convert(document, _File)
    except msgspec.ValidationError as error:
        raise KubeconfigError(f"kubeconfig {path} is not a kubeconfig: {error}") from None


def _find(entries: Sequence[Any] | None, name: str, what: str, kind: type[SectionT], path: Path) -> SectionT:
    """The section `what` of the entry of that name. Nothing is said of the other entries."""
    found = [entry for entry in entries or () if isinstance(entry, dict) and entry.get("name") == name]
    if not found:
        known = ", ".join(_names(entries)) or "none"
        raise KubeconfigError(f"kubeconfig {path} has no {what} {name!r} (it has: {known})")
    if len(found) > 1:
        raise KubeconfigError(f"kubeconfig {path} has {len(found)} {what}s named {name!r}")
    return _converted(found[0].get(what) or {}, kind, f"kubeconfig {path}, {what} {name!r},")


def _names(entries: Sequence[Any] | None) -> Iterable[str]:
    return (one_line(str(entry["name"])) for entry in entries or () if isinstance(entry, dict) and "name" in entry)


def _converted(node: Any, kind: type[SectionT], where: str) -> SectionT:
    try:
        return msgspec.convert(_present(node, iter(range(ENTRY_NODES))), kind, strict=False)
    except (msgspec.ValidationError, ValueError) as error:
        raise KubeconfigError(f"{where} is not a kubeconfig: {error}") from None


def _present(node: Any, budget: Iterator[int], key: object = None, scalar: Callable[[Any], Any] = text) -> Any:
    """A copy of a node without its null members, which are as good as missing, and with flags as booleans.

    Raises ValueError when it grows beyond the budget: YAML's aliases can make a few lines into more than fits.
    """
    if next(budget, None) is None:
        raise ValueError(f"it has more than {ENTRY_NODES} members")
    if isinstance(node, dict):
        return {
            name: _present(value, budget, name, typed if name == "extensions" else scalar)
            for name, value in node.items()
            if value is not None
        }
    if isinstance(node, list):
        return [_present(value, budget, key, scalar) for value in node if value is not None]
    return flag(node) if key in _FLAGS else scalar(node)


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
    if cluster.insecure_skip_tls_verify and (cluster.certificate_authority_data or cluster.certificate_authority):
        raise KubeconfigError(
            f"kubeconfig {path} has a certificate-authority and insecure-skip-tls-verify: remove one of them; "
            "kubectl refuses both together"
        )
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
