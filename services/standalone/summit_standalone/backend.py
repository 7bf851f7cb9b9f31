"""The composition of an instance: which processes, in which order, with which environment.

They start as NATS, Postgres, projector, api, watcher, and stop in the opposite order: first who produces, last who
keeps. The environment variables are those of docker compose.
"""

import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from summit_standalone.child import Program, kept_running
from summit_standalone.embedded_nats import embedded_nats
from summit_standalone.embedded_postgres import embedded_postgres
from summit_standalone.instance import Instance

NATS_PORT = 4222
"""NATS' own default, if it is free: `nats sub` needs no address then."""

_STOP_SECONDS: Mapping[str, float] = {"watcher": 4.0, "api": 3.0, "projector": 3.0, "simulator": 1.0}
"""The watcher hands over what it has seen, the api ends its feeds, the projector commits its batch."""


@dataclass(frozen=True)
class Servers:
    """Where the services find NATS and Postgres; with user and password."""

    nats_url: str
    database_url: str


@asynccontextmanager
async def servers(instance: Instance) -> AsyncIterator[Servers]:
    """Run the embedded NATS and Postgres, except where `NATS_URL` and `DATABASE_URL` name others."""
    nats_url, database_url = os.environ.get("NATS_URL"), os.environ.get("DATABASE_URL")
    async with AsyncExitStack() as stack:
        if not nats_url:
            directory = instance.data_dir / "nats"
            nats_url = await stack.enter_async_context(embedded_nats(directory, NATS_PORT, instance.report))
        if not database_url:
            directory = instance.data_dir / "postgres"
            database_url = await stack.enter_async_context(embedded_postgres(directory, instance.report))
        instance.facts |= {"natsUrl": nats_url, "databaseUrl": database_url}
        instance.write()
        yield Servers(nats_url, database_url)


@asynccontextmanager
async def services(
    instance: Instance, addresses: Servers, *, host: str, port: int, config: Path | None
) -> AsyncIterator[None]:
    """Run projector and api, and a watcher of the clusters in `config` unless it is None."""
    nats = {"NATS_URL": addresses.nats_url}
    database = {"DATABASE_URL": addresses.database_url}
    async with AsyncExitStack() as stack:
        wanted = [service("projector", nats | database)]
        wanted += [service("api", nats | database | {"API_HOST": host, "API_PORT": str(port)})]
        if config:
            wanted += [service("watcher", nats | {"WATCHER_CONFIG": str(config)})]
        for program in wanted:
            await stack.enter_async_context(kept_running(program, instance.report))
        yield


def service(name: str, environment: Mapping[str, str]) -> Program:
    """One of our own modules, run by the interpreter that runs us."""
    return Program(
        name,
        command=(sys.executable, "-m", f"summit_{name}"),
        environment={**os.environ, **environment},
        stop_seconds=_STOP_SECONDS[name],
    )
