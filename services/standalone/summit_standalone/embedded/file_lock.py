"""A lock that is a file: its holder writes its process id inside, and the kernel releases it when that process ends.

flock(2): the lock belongs to the open file, so a child that inherits the descriptor holds it as well.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

_PID_BYTES = 20


def open_lock(path: Path, *, create: bool = True) -> int:
    """A descriptor to lock, which no child inherits unasked. Raises OSError."""
    return os.open(path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0), 0o600)


def try_lock(lock: int, *, shared: bool = False) -> bool:
    """Take the lock; False when another holds it."""
    try:
        fcntl.flock(lock, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def sign(lock: int, pid: int) -> None:
    """Note that process `pid` holds the lock."""
    with suppress(OSError):  # a full disk: the lock is held, but its holder is unknown
        os.pwrite(lock, f"{pid:<{_PID_BYTES}}".encode(), 0)


def holder(lock: int) -> int | None:
    """The process that holds the lock, or held it last; None if that is unknown."""
    noted = os.pread(lock, _PID_BYTES, 0)
    return int(noted) if noted.strip().isdigit() else None
