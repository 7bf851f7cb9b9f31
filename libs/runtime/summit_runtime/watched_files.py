"""Files that are read again when their content changes.

Content is compared, not times: editors replace a file, and Kubernetes swaps a symlink above a mounted secret. A change
counts when it has stood for a while, since files are written bit by bit, and several of them one after the other. Note
the files *before* you read them, and no later change is missed::

    while True:
        files.note(path)
        use(load(path))
        await files.changed()
"""

import asyncio
import contextlib
import errno
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from summit_runtime.own_thread import OwnThread

MOST_BYTES = 16 * 1024 * 1024
"""A kubeconfig of a thousand contexts has 6 MB. `/dev/zero` never ends, and a disk image is a mistake."""

PART_BYTES = 64 * 1024


def read_limited(path: Path, most_bytes: int = MOST_BYTES) -> bytes:
    """Read a file that a person has named.

    Raises OSError, also when the file is larger, and ValueError for a name that no file can have.
    """
    with path.open("rb", buffering=0) as file:
        content = bytearray()
        while part := file.read(PART_BYTES):  # as much memory is taken for each read as it asks for
            content += part
            if len(content) > most_bytes:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return bytes(content)


def is_readable(path: Path) -> bool:
    """Whether there is such a file and this process may read it, whatever it holds. Blocks."""
    try:
        return path.is_file() and os.access(path, os.R_OK)
    except (OSError, ValueError):  # ValueError: a null byte in the name
        return False


@dataclass(frozen=True)
class FileTimes:
    """When files are looked at."""

    look_seconds: float = 5.0
    settle_seconds: float = 2.0
    """A change counts when it has stood for so long."""
    read_seconds: float = 30.0
    """A file system that takes longer is away; the next look is another try."""


Digests = Mapping[Path, bytes | None]


class WatchedFiles:
    """Some files, and what they held when they were noted. Files that cannot be read are compared as such."""

    def __init__(self, thread: OwnThread, times: FileTimes | None = None) -> None:
        """`thread` is where `changed` reads, since a file system may hang."""
        self._thread = thread
        self._times = times or FileTimes()
        self._noted: Digests = {}

    def note(self, *paths: Path) -> None:
        """Watch these files only, and compare with what they hold now. Blocks."""
        self._noted = _digests(paths)

    def note_also(self, *paths: Path) -> None:
        """Watch these files besides, and compare with what they hold now. Blocks."""
        self._noted = {**self._noted, **_digests(paths)}

    async def changed(self) -> None:
        """Wait until a file holds something else than noted, and has not changed for `settle_seconds`."""
        seen = self._noted
        while True:
            await asyncio.sleep(self._times.look_seconds if seen == self._noted else self._times.settle_seconds)
            before, seen = seen, await self._look()
            if before == seen != self._noted:
                return

    async def _look(self) -> Digests:
        """The content of the files now; while the file system does not answer, that which was noted."""
        noted = self._noted
        with contextlib.suppress(TimeoutError):
            return await self._thread.run(lambda: _digests(noted), self._times.read_seconds)
        return noted


def _digests(paths: Iterable[Path]) -> Digests:
    return {path: _digest(path) for path in paths}


def _digest(path: Path) -> bytes | None:
    try:
        return blake2b(read_limited(path)).digest()
    except (OSError, ValueError):  # ValueError: a null byte in the name
        return None
