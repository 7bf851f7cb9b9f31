"""`summit-connect serve backend`: run everything on this machine until a signal ends it."""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from summit_runtime.process import on_hangup
from summit_standalone.backend import servers, services
from summit_standalone.directory import prepare_directory, single_instance
from summit_standalone.errors import StandaloneError
from summit_standalone.instance import Instance

logger = logging.getLogger("summit.standalone")

STOP_SECONDS = 9.5
"""For all processes together; after it the rest is killed. People and systemd are promised ten seconds."""


@dataclass(frozen=True)
class Options:
    """The options of the command line. Without `config` nothing is watched."""

    data_dir: Path
    host: str
    port: int
    config: Path | None


async def serve(instance: Instance, options: Options) -> None:
    """Run the backend until cancelled, on the servers that NATS_URL and DATABASE_URL name, or on embedded ones."""
    watcher = {"WATCHER_CONFIG": str(options.config)} if options.config else None
    if not watcher:
        logger.info("no cluster is watched: the API shows what is stored; --watch-vms watches the clusters")
    async with (
        servers(
            instance, nats_url=os.environ.get("NATS_URL"), database_url=os.environ.get("DATABASE_URL")
        ) as addresses,
        services(instance, addresses, host=options.host, port=options.port, watcher=watcher),
    ):
        await asyncio.Event().wait()


def run(options: Options, work: Callable[[Instance, Options], Coroutine[Any, Any, None]]) -> None:
    """Run `work` as the only instance of the data directory until it ends, or until SIGTERM or SIGINT.

    Raises StandaloneError for what a person can fix.
    """
    check_port(options.host, options.port)
    data_dir = prepare_directory(options.data_dir)
    with single_instance(data_dir):
        instance = Instance(data_dir, api=address(options.host, options.port))
        try:
            asyncio.run(_until_signal(work(instance, options), instance))
        except OSError as error:  # of a file: a full disk, a directory of another user
            if not error.filename:
                raise
            raise StandaloneError(f"{error.filename}: {error.strerror}") from error
        finally:
            instance.forget()


async def _until_signal(work: Coroutine[Any, Any, None], instance: Instance) -> None:
    """Stop in order and within the promised time on the first signal, at once on the second."""
    loop = asyncio.get_running_loop()
    task = asyncio.create_task(work)
    signals: list[signal.Signals] = []

    def on_signal(number: signal.Signals) -> None:
        signals.append(number)
        if len(signals) > 1:
            instance.kill()
            return
        logger.info("stopping on %s", number.name)
        loop.call_later(STOP_SECONDS, instance.kill)
        task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    on_hangup(on_signal)
    instance.write()  # who sees it may send a signal
    try:
        await task
    except asyncio.CancelledError:
        if not signals:
            raise
        logger.info("stopped")


def check_port(host: str, port: int) -> None:
    """Raise StandaloneError if the API could not listen there, before anything is started."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            probe.listen()
    except OSError as error:
        reason = error.strerror or str(error)
        raise StandaloneError(
            f"the API cannot listen on {host} port {port}: {reason}; choose another with --port or --host"
        ) from error


def address(host: str, port: int) -> str:
    """The API's address for clients on this machine."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{reachable}:{port}"
