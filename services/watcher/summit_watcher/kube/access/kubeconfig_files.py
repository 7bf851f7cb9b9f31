"""A kubeconfig and the files it names, looked at while they change.

Content is compared, not times: mounted secrets are swapped by a symlink above the files, and editors replace them.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from summit_watcher.kube.access import kubeconfig as kubeconfigs
from summit_watcher.kube.access.kubeconfig import Kubeconfig


class KubeconfigFiles:
    """All methods block: call them in a thread."""

    def __init__(self, path: Path, context: str | None) -> None:
        self._path = path
        self._context = context
        self._named: tuple[Path, ...] = ()
        self._read = b""

    def read(self) -> Kubeconfig:
        """Read the kubeconfig. Raises KubeconfigError. Either way, what the files hold is no change any more.

        The digests are taken before anything is used, so that no later change is missed.
        """
        own = _digests([self._path])
        self._named, self._read = (), own
        kubeconfig = kubeconfigs.read(self._path, self._context)
        self._named = kubeconfig.named_files
        self._read = own + _digests(self._named)
        return kubeconfig

    def change(self) -> bytes | None:
        """Digests of what the files hold now; None while that is what was read."""
        now = _digests([self._path, *self._named])
        return None if now == self._read else now


def _digests(paths: Iterable[Path]) -> bytes:
    return b"".join(hashlib.sha256(_content(path)).digest() for path in paths)


def _content(path: Path) -> bytes:
    """A file that is not there is as good as an empty one: neither can be used."""
    try:
        return path.read_bytes()
    except (OSError, ValueError):  # ValueError: a null byte in the name
        return b""
