"""`summit-connect sub`: print what is published on a subject, as the nats command line does.

It is for machines without that command: the feed is plain NATS, which clients in every language can read.
"""

import asyncio
import itertools
import os
import signal
import sys

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import BadSubjectError, NoServersError
from nats.errors import Error as NatsError
from pydantic import SecretStr

from summit_runtime.nats.connection.bus import EventClient, close, explained, is_denied, is_refusal
from summit_runtime.nats.connection.login import NO_FILES, Login
from summit_runtime.settings import ProcessSettings, SettingsError, public_address
from summit_standalone.errors import StandaloneError

CONNECT_SECONDS = 5


async def subscribe(server: str, subject: str, *, count: int | None, raw: bool, login: Login = NO_FILES) -> None:
    """Print `count` messages, or all until a signal. Raises StandaloneError when the server does not answer."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    numbers = itertools.count(1)

    async def on_message(message: Msg) -> None:
        number = next(numbers)
        if count is not None and number > count:
            return
        if not _print(message, number, raw=raw) or number == count:
            stop.set()

    client = await connect(server, stop, login)
    try:
        await client.subscribe(subject, cb=on_message)
        await client.flush()
        await stop.wait()
        if is_denied(client.last_error):
            raise StandaloneError(
                f"the user of NATS at {public_address(server)} may not subscribe to {subject!r}: name a part of it, "
                "such as 'summit.*.dc-solna.>' for a user of one datacenter"
            )
        if client.is_closed:
            raise StandaloneError(f"the NATS server at {public_address(server)} closed the connection")
    except BadSubjectError:
        raise StandaloneError(f"{subject!r} is not a subject: write it as 'summit.vms.dc-solna.>'") from None
    finally:
        await client.close()


def login_for(server: str | None) -> Login:
    """The files that the environment names, for a server that somebody names; the one that runs here wants none.

    Raises StandaloneError when one of them cannot be used.
    """
    if server is None:
        return NO_FILES
    try:
        return ProcessSettings.from_environment(NATS_URL=SecretStr(server)).nats_login
    except SettingsError as error:
        raise StandaloneError(str(error)) from error


async def connect(server: str, closed: asyncio.Event, login: Login = NO_FILES) -> Client:
    """Connect once; `closed` is set when the server ends the connection, or denies what is asked of it."""
    failures: list[Exception] = []

    async def on_error(error: Exception) -> None:  # nats-py would log it with its traceback
        failures.append(error)
        if is_denied(error):
            closed.set()

    async def on_closed() -> None:
        closed.set()

    client = EventClient(login=login)
    try:
        await client.dial(
            server,
            connect_timeout=CONNECT_SECONDS,
            allow_reconnect=False,
            max_reconnect_attempts=1,  # the first connection counts as one; 0 would be for ever
            reconnect_time_wait=0,
            error_cb=on_error,
            closed_cb=on_closed,
        )
    except ValueError as error:
        raise StandaloneError(f"the address of NATS cannot be used: {error}") from error
    except (OSError, NoServersError, NatsError) as error:
        failure = failures[-1] if failures else error
        await close(client)
        if is_refusal(failure) and login == NO_FILES:
            raise StandaloneError(
                f"NATS at {public_address(server)} refuses the user and password: write its address as "
                "nats://user:password@host:port, or leave --server and NATS_URL out for the one that runs here"
            ) from error
        reason = _reason(failure, login)
        raise StandaloneError(f"no NATS server answers at {public_address(server)}: {reason}") from error
    return client


def _reason(error: Exception, login: Login) -> str:
    """The system's message: asyncio's is `[Errno 111] Connect call failed ('127.0.0.1', 4222)`."""
    if isinstance(error, OSError) and error.errno and error.errno > 0:
        return os.strerror(error.errno)
    return explained(error, login) or type(error).__name__


def _print(message: Msg, number: int, *, raw: bool) -> bool:
    """Print one message; False when the reader has gone (`| head`)."""
    body = message.data.decode(errors="replace")
    try:
        sys.stdout.write(f"{body}\n" if raw else f'[#{number}] Received on "{message.subject}"\n{body}\n\n')
        sys.stdout.flush()
    except BrokenPipeError:
        return False
    return True
