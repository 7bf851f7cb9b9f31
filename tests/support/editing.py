"""The api with the servers that an edit goes through: NATS, a projector, Postgres."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from fastapi import FastAPI
from nats.aio.client import Client
from support.api_stack import api_over
from support.projecting import Readings, api_client, projector, projector_settings, publish, publisher
from support.published import datacenter_event, vm_event

from summit_api.access.identify import Access
from summit_api.services import Services
from summit_api.settings import ApiTimes
from summit_models.event import Event
from summit_projector.settings import TIMES, ProjectorTimes
from summit_runtime.nats.streams.consumer import last_per_subject

SOLNA, UPPSALA = "dc-solna", "dc-uppsala"


class Editing:
    """One api over a log and its tables."""

    def __init__(self, app: FastAPI, http: httpx2.AsyncClient, client: Client, readings: Readings) -> None:
        self.app = app
        self.services: Services = app.state.services
        self.http = http
        self.client = client
        self.readings = readings

    async def publish(self, *events: Event) -> None:
        """Publish as a watcher would, and wait until it is applied."""
        await self.readings.applied(await publish(self.client, *events))

    async def ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, token: str = ""
    ) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return await self.http.request(method, f"/api/v1{path}", json=body, headers=headers)

    async def newest(self, subject: str = "summit.vms.>") -> dict[str, dict[str, Any]]:
        """The newest event of each subject."""
        return {message.subject: json.loads(message.body) async for message in last_per_subject(self.client, subject)}


@asynccontextmanager
async def log_and_tables(
    nats_url: str,
    database_url: str,
    access: Access | None = None,
    *,
    times: ApiTimes | None = None,
    projector_times: ProjectorTimes = TIMES,
) -> AsyncIterator[Editing]:
    """An empty log and empty tables. Without `access` every client is an admin."""
    async with (
        publisher(nats_url) as client,
        api_client(nats_url) as own_client,
        projector(projector_settings(nats_url, database_url), projector_times),
        api_over(database_url, access, times=times) as (http, services, app),
    ):
        services.log.client = own_client
        yield Editing(app, http, client, Readings(database_url))


@asynccontextmanager
async def editing(
    nats_url: str, database_url: str, access: Access | None = None, **options: Any
) -> AsyncIterator[Editing]:
    """`log_and_tables` where Solna and Uppsala are declared, and Solna has the watched VM `erp`."""
    async with log_and_tables(nats_url, database_url, access, **options) as api:
        await api.publish(
            datacenter_event(id=SOLNA, name="Solna", clusters=["vulcan"]),
            datacenter_event(id=UPPSALA, name="Uppsala"),
            vm_event("erp", cpu=2, memory=4096, memory_bytes=4096 * 2**20 + 1),
        )
        yield api
