"""The composition of an instance: which processes, in which order, with which environment.

They start as NATS, Postgres, projector, api, watcher, and stop in the opposite order: producers first, stores last. Api
and watcher do not need each other and stop at the same time. The environment variables are those of docker compose.
"""

import asyncio
import logging
import os
import secrets
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

from summit_api.access.pages import is_loopback
from summit_api.access.policy import PolicyError, PolicyFile
from summit_api.access.tokens import new_token
from summit_api.settings import Settings as ApiSettings
from summit_projector.settings import ProjectorSettings
from summit_projector.tables import reader
from summit_runtime.nats.connection import bus, login
from summit_runtime.nats.rights import Role
from summit_runtime.nats.streams.stream import ensure_stream
from summit_runtime.postgres import database
from summit_runtime.process import FatalError
from summit_runtime.settings import ProcessSettings, SettingsError
from summit_standalone.embedded.child import Program, all_kept_running, kept_running
from summit_standalone.embedded.nats import embedded_nats, role_url
from summit_standalone.embedded.postgres import embedded_postgres
from summit_standalone.errors import StandaloneError
from summit_standalone.instance import NATS_ADMIN, TOKEN, Instance
from summit_watcher.settings import WatcherSettings

logger = logging.getLogger("summit.standalone")

NATS_PORT = 4222
"""NATS' own default, if it is free, so that `nats sub` needs no address."""

STOP_SECONDS: Mapping[str, float] = {"watcher": 4.0, "api": 4.0, "projector": 3.5, "simulator": 1.0}
"""The watcher publishes the changes it holds, the api finishes its answers, the projector commits its batch.

Each is more than the service allows itself (`WatcherTimes.flush_seconds`, `GRACEFUL_SHUTDOWN_SECONDS`, `STOP_SECONDS`
there), by a second or more for closing its connections. Together they leave the embedded servers their part of the
ten seconds.
"""

PREPARE_SECONDS = 10.0
"""To create or change a stream takes milliseconds."""

READER = "summit_api"
"""The user of the embedded Postgres that may only read, as in docker compose."""

_CLIENT_LIMITS = ("API_CLIENT_REQUESTS_PER_SECOND", "API_CLIENT_REQUESTS", "API_CLIENT_FEEDS")
"""On the loopback all clients have one address and belong to one person, so nothing is limited."""

_ADDRESSES = frozenset({"NATS_URL", "DATABASE_URL", *login.VARIABLES})
"""Where the servers are, and what is shown to them."""


@dataclass(frozen=True)
class Servers:
    """Addresses of NATS and Postgres, with user and password."""

    nats_urls: Mapping[Role, str]
    """For each role; they are the same where somebody else runs the server."""
    database_url: str
    reader_url: str
    """The same database for the api, which may only read it where the server is ours."""
    nats_files: Mapping[str, str] = field(default_factory=dict)
    """What is shown to a NATS of somebody else: variables and absolute paths."""


@asynccontextmanager
async def servers(
    instance: Instance, *, nats_url: str | None = None, database_url: str | None = None
) -> AsyncIterator[Servers]:
    """Run the embedded NATS and Postgres, unless the address of another server is given."""
    logger.info("starting with data directory %s; the API will answer at %s", instance.data_dir, instance.facts["api"])
    nats_files = files_of_nats() if nats_url else {}
    reader_url = database_url
    async with AsyncExitStack() as stack:
        nats_urls = dict.fromkeys(Role, nats_url or "")
        if not nats_url:
            directory = instance.data_dir / "nats"
            admin_url = await stack.enter_async_context(embedded_nats(directory, NATS_PORT, instance.report))
            nats_urls = {role: role_url(admin_url, role) for role in Role}
            await _prepare(admin_url)
        if not database_url:
            directory = instance.data_dir / "postgres"
            database_url = await stack.enter_async_context(embedded_postgres(directory, instance.report))
            reader_url = await _admit_reader(database_url)
        own = {NATS_ADMIN: nats_urls[Role.ADMIN]}
        instance.facts |= {"natsUrl": nats_urls[Role.FEED], "databaseUrl": database_url} | own
        instance.write()
        yield Servers(nats_urls, database_url, reader_url or database_url, nats_files)


async def _admit_reader(database_url: str) -> str:
    """The address for a user that may only read, with another password at each start."""
    password = secrets.token_urlsafe(24)
    try:
        connection = await database.connect(SecretStr(database_url), application="summit-connect")
        try:
            await reader.admit(connection, READER, password)
        finally:
            connection.terminate()
    except database.OUTAGE as error:
        raise StandaloneError(f"the api's user cannot be made: {database.outage(error)}") from error
    parts = urlsplit(database_url)
    return parts._replace(netloc=f"{READER}:{password}@{parts.netloc.rpartition('@')[2]}").geturl()


def files_of_nats() -> dict[str, str]:
    """The files for logging in to the server that NATS_URL names; a child that reads them has another directory."""
    return {name: str(Path(path).absolute()) for name in login.VARIABLES if (path := os.environ.get(name))}


async def _prepare(admin_url: str) -> None:
    """Give the stream and the buckets what this version needs, which the services may not. Without it they wait."""
    url = SecretStr(admin_url)
    storage = ProcessSettings.from_environment(NATS_URL=url).nats_storage
    try:
        async with asyncio.timeout(PREPARE_SECONDS), bus.connected(url, name="prepare") as client:
            await ensure_stream(client, storage)
    except TimeoutError:
        logger.warning("NATS has not prepared its streams within %g s; the services wait for them", PREPARE_SECONDS)
    except FatalError as error:
        logger.error("the services wait for the streams of NATS: %s", error)  # noqa: TRY400  the sentence is enough


@asynccontextmanager
async def services(
    instance: Instance, addresses: Servers, *, host: str, port: int, watcher: Mapping[str, str] | None
) -> AsyncIterator[str]:
    """Run projector, api and, with these variables, a watcher unless they are None; yield the token of an admin.

    The token is that of the environment, else a new one, which `status` uses. On the loopback a client without a token
    is an admin, too.
    """
    instance.facts[TOKEN] = admin_token = os.environ.get("API_ADMIN_TOKEN") or new_token()
    instance.write()
    nats = {role: {"NATS_URL": url, **addresses.nats_files} for role, url in addresses.nats_urls.items()}
    owner, api_reader = {"DATABASE_URL": addresses.database_url}, {"DATABASE_URL": addresses.reader_url}
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(
            kept_running(service("projector", nats[Role.PROJECTOR] | owner), instance.report)
        )
        together = [service("api", nats[Role.API] | api_reader | api_environment(host, port, admin_token))]
        if watcher is not None:
            together += [service("watcher", nats[Role.WATCHER] | dict(watcher))]
        await stack.enter_async_context(all_kept_running(together, instance.report))
        yield admin_token


def check_settings(nats_url: str | None = None, database_url: str | None = None) -> None:
    """Raise StandaloneError for settings or an access file that a service would reject: it would restart for ever.

    Without an address an embedded server is used.
    """
    addresses = {
        "NATS_URL": SecretStr(nats_url or "nats://embedded"),
        "DATABASE_URL": SecretStr(database_url or "postgresql://embedded"),
    }
    try:
        for settings in (ProjectorSettings, WatcherSettings):
            settings.from_environment(**addresses)
        if access_file := ApiSettings.from_environment(**addresses).access_file:
            PolicyFile(access_file)
    except (SettingsError, PolicyError) as error:
        raise StandaloneError(str(error)) from error


def api_environment(host: str, port: int, admin_token: str) -> dict[str, str]:
    """Where the api listens, and who may use it beyond what our own environment allows."""
    environment = {"API_HOST": host, "API_PORT": str(port), "API_ADMIN_TOKEN": admin_token}
    if access_file := os.environ.get("API_ACCESS_FILE"):
        environment["API_ACCESS_FILE"] = str(Path(access_file).absolute())  # a child has another directory
    if needs_no_token(host):
        environment["API_ANONYMOUS_ROLE"] = "admin"
    if is_loopback(host):
        environment |= {name: "0" for name in _CLIENT_LIMITS if not os.environ.get(name)}
    return environment


def needs_no_token(host: str) -> bool:
    """On the loopback everyone is an admin, unless the environment sets the role of clients without a token."""
    return is_loopback(host) and not os.environ.get("API_ANONYMOUS_ROLE")


def service(name: str, environment: Mapping[str, str]) -> Program:
    """One of our own modules, run by the interpreter that runs us.

    It gets our environment, but of servers, and of what is shown to them, only what is in `environment`: a demo must
    not find real ones.
    """
    ours = {key: value for key, value in os.environ.items() if key not in _ADDRESSES}
    return Program(
        name,
        command=(sys.executable, "-m", f"summit_{name}"),
        environment=ours | dict(environment),
        stop_seconds=STOP_SECONDS[name],
    )
