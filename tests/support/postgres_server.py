"""Servers of Postgres beside the embedded one: those of Debian, its PgBouncer, and a standby of any of them."""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from summit_standalone.embedded import postgres as embedded
from summit_standalone.embedded.before_exec import before_exec
from summit_standalone.embedded.child import Program, ignore
from summit_standalone.embedded.server_process import HOST, exclusive, free_port, running

_USER = pwd.getpwnam(embedded.UNPRIVILEGED_USER).pw_uid if os.geteuid() == 0 else None
"""No server runs as root."""

_PGBOUNCER = """\
[databases]
* = host={host} port={server_port}
[pgbouncer]
listen_addr = {host}
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
auth_user = {user}
pool_mode = {pool_mode}
default_pool_size = {pool_size}
max_client_conn = 500
"""


def missing() -> str | None:
    """What to install, in one sentence; None when all of Debian is there."""
    if _debian() and _pgbouncer():
        return None
    return "PostgreSQL and PgBouncer of Debian are needed: apt install postgresql pgbouncer"


@asynccontextmanager
async def debian_postgres(directory: Path) -> AsyncIterator[str]:
    """Run the newest version that is installed, on empty data; yield its URL."""
    binaries, cluster, password = _debian(), _empty(directory / "cluster"), secrets.token_hex(8)
    assert binaries, missing()
    password_file = directory / "password"
    password_file.write_text(password)
    user, password_of_user = f"--username={embedded.USER}", f"--pwfile={password_file}"
    encoding = ("--encoding=UTF8", f"--locale={embedded.LOCALE}")
    _run(binaries / "initdb", cluster, user, password_of_user, *encoding, "--auth=scram-sha-256", "--no-sync")
    async with _served(directory, binaries, "accept connections") as port:
        yield f"postgresql://{embedded.USER}:{password}@{HOST}:{port}/postgres"


@asynccontextmanager
async def standby(directory: Path, url: str, *, of_debian: bool) -> AsyncIterator[str]:
    """Run a hot standby of the server of a URL; yield the URL of the same database there."""
    binaries = _debian() if of_debian else embedded._binaries()
    assert binaries, missing()
    cluster = _empty(directory / "cluster")
    _run(binaries / "pg_basebackup", "--write-recovery-conf", "--checkpoint=fast", f"--pgdata={cluster}", "-d", url)
    async with _served(directory, binaries, "accept read-only connections") as port:
        yield through(url, port)


@asynccontextmanager
async def pgbouncer(
    directory: Path, url: str, pool_mode: Literal["session", "transaction"], *, pool_size: int = 50
) -> AsyncIterator[str]:
    """Run a pooler before the server of a URL; yield the URL of the same database through it."""
    parts, port, users = urlsplit(url), free_port(), directory / "users.txt"
    users.write_text(f'"{parts.username}" "{parts.password}"\n')
    settings = {"pool_mode": pool_mode, "pool_size": pool_size, "user": parts.username, "users": users}
    config = directory / "pgbouncer.ini"
    config.write_text(_PGBOUNCER.format(host=HOST, server_port=parts.port, port=port, **settings))
    pooler = Program("pgbouncer", (str(_pgbouncer()), str(config)), stop_signal=signal.SIGINT, user=_USER)
    async with (
        exclusive(directory, signal.SIGINT) as lock,
        running(pooler, b"process up", directory=directory, lock=lock, report=ignore),
    ):
        yield through(url, port)


def through(url: str, port: int) -> str:
    """The same database, by another port of this machine."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{parts.netloc.rpartition(':')[0]}:{port}").geturl()


@asynccontextmanager
async def _served(directory: Path, binaries: Path, ready: str) -> AsyncIterator[int]:
    """A server on the data in `directory`, and its port."""
    port = free_port()
    settings: Mapping[str, object] = {
        "port": port,
        "listen_addresses": HOST,
        "unix_socket_directories": "",
        "fsync": "off",
        "max_connections": 300,  # a pooler keeps those of the tests before
    }
    options = [f"-c{name}={value}" for name, value in settings.items()]
    command = (str(binaries / "postgres"), "-D", str(directory / "cluster"), *options)
    stop = embedded.FAST_SHUTDOWN
    server = Program("postgres", command, stop_signal=stop, death_signal=stop, user=_USER)
    async with (
        exclusive(directory, stop) as lock,
        running(server, f"database system is ready to {ready}".encode(), directory=directory, lock=lock, report=ignore),
    ):
        yield port


def _empty(cluster: Path) -> Path:
    cluster.mkdir(mode=0o700, parents=True)
    if _USER is not None:
        os.chown(cluster, _USER, _USER)
    return cluster


def _run(*command: str | Path) -> None:
    subprocess.run(command, cwd="/", check=True, capture_output=True, preexec_fn=before_exec(signal.SIGKILL, _USER))


def _debian() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    return found[-1] if found else None


def _pgbouncer() -> str | None:
    return shutil.which("pgbouncer", path="/usr/sbin:/usr/bin")
