"""The data directory: everything one instance keeps, for one user, for one instance at a time.

lock                  held while an instance runs
state.json            what runs now (see `instance`)
nats/, postgres/      data, log, port and lock of the embedded servers

The holder of a lock writes its process id into the file, and the kernel releases the lock when that process ends. A
lock belongs to the open file (flock(2)), so a child that inherits the descriptor holds it as well.
"""

import fcntl
import os
import pwd
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from summit_standalone.errors import StandaloneError

LOCK = "lock"
LOCK_SECONDS = 0.3
"""Longer than the moment for which `status` takes the lock to look at it."""
_PID_BYTES = 20


def default_data_dir() -> Path:
    """`/var/lib/summit-connect` for root, else `~/.local/state/summit-connect` by the XDG base directory rules.

    It does not depend on the working directory, so that `status` finds what `serve` has started.
    """
    if os.geteuid() == 0:
        return Path("/var/lib/summit-connect")
    state_home = os.environ.get("XDG_STATE_HOME", "")
    base = Path(state_home) if state_home.startswith("/") else Path.home() / ".local/state"
    return base / "summit-connect"


def prepare_directory(directory: Path) -> Path:
    """Make the directory if it is missing, and return its absolute path. Raises StandaloneError if we may not write."""
    directory = directory.expanduser().resolve()
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StandaloneError(
            f"data directory {directory} cannot be made: {error.strerror}; name another with --data-dir"
        ) from error
    if not os.access(directory, os.W_OK | os.X_OK):
        if directory.stat().st_uid == os.geteuid():
            raise StandaloneError(
                f"data directory {directory} is not writable, although it is yours: it is mounted or made read-only"
            )
        raise StandaloneError(
            f"data directory {directory} belongs to user {_owner(directory)!r} and is not writable: "
            "run as that user, or name another with --data-dir"
        )
    return directory


@contextmanager
def single_instance(data_dir: Path) -> Iterator[None]:
    """Hold the lock of the data directory while the block runs. Raises StandaloneError when another holds it."""
    path = data_dir / LOCK
    try:
        lock = open_lock(path)
    except OSError as error:
        raise closed(path, error) from error
    try:
        deadline = time.monotonic() + LOCK_SECONDS
        while not try_lock(lock):
            if time.monotonic() > deadline:
                pid = holder(lock) or "unknown"
                raise StandaloneError(
                    f"another summit-connect (process {pid}) already runs with data directory {data_dir}: "
                    "stop it, or name another directory with --data-dir"
                )
            time.sleep(LOCK_SECONDS / 10)
        sign(lock, os.getpid())
        yield
    finally:
        os.close(lock)


def has_instance(data_dir: Path) -> bool:
    """Whether an instance runs with this data directory. Raises StandaloneError if it may not be read."""
    path = data_dir / LOCK
    try:
        lock = open_lock(path, create=False)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise closed(path, error) from error
    try:
        return not try_lock(lock, shared=True)
    finally:
        os.close(lock)


def closed(path: Path, error: OSError) -> StandaloneError:
    """The error for a file of a data directory that cannot be opened."""
    return StandaloneError(
        f"{path} cannot be opened: {error.strerror}; run as its owner, or name another directory with --data-dir"
    )


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


def _owner(path: Path) -> str:
    uid = path.stat().st_uid
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
