"""Reads kubeconfig files, and watches them with the files that they name.

Each defect is one sentence. The official loader answers the same defects with five exception types.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import msgspec
import yaml

from summit_runtime.watched_files import WatchedFiles
from summit_watcher.kube.access.kubeconfig import ClusterSection, Kubeconfig, Section, UserSection
from summit_watcher.kube.access.kubeconfig_checks import check
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


def read(path: Path, context: str | None = None) -> Kubeconfig:
    """Read one context of a file. Raises KubeconfigError with one sentence, whatever is wrong with it."""
    try:
        text = path.read_text(encoding="utf-8")
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
    check(kubeconfig)
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
