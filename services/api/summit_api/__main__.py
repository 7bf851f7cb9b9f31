"""`python -m summit_api`: the API as a process, configured by environment only."""

import asyncio
import logging

import uvloop

from summit_api import freshness, lag, revisions
from summit_api.access.identify import Access
from summit_api.app import create_app
from summit_api.edits.repeat import keep_repeating
from summit_api.http.protocol import ConnectionLimits
from summit_api.http.server import listen, serve
from summit_api.limits.requests import RequestLimits
from summit_api.operations.expiry import keep_expiring
from summit_api.services import Services
from summit_api.settings import Settings
from summit_runtime.backoff import Backoff
from summit_runtime.nats.connection import bus
from summit_runtime.nats.publishing.availability import Availability
from summit_runtime.process import FatalError, main, supervised
from summit_runtime.waiting import end

logger = logging.getLogger("summit.api")

APPLICATION = "summit-api"


async def service(settings: Settings, stop: asyncio.Event) -> None:
    """Serve the tables, the live feed of their changes and the freshness of the clusters, until `stop`."""
    sock = listen(settings.host, settings.port)
    services = Services.configured(settings)
    request_limits = RequestLimits(settings.body_bytes, settings.request_seconds, settings.concurrent_requests)
    connection_limits = ConnectionLimits(settings.head_bytes, settings.head_seconds, settings.stalled_seconds)
    app = create_app(services, origins=settings.origins, limits=request_limits, root_path=settings.root_path)
    host, port = sock.getsockname()[:2]
    _log_access(services.access)
    logger.info("api answers at http://%s:%s", f"[{host}]" if ":" in host else host, port)
    try:
        async with asyncio.TaskGroup() as tasks:
            following = [
                tasks.create_task(_keep_connected(settings, services)),
                tasks.create_task(revisions.follow(settings.database_url, services.revisions, services.times)),
                tasks.create_task(services.feed.follow()),
                tasks.create_task(services.feed.watch_clusters()),
            ]
            if issuer := services.access.issuer:
                keys = supervised("the keys of the issuer", issuer.keys.follow, retry=Backoff())
                following.append(tasks.create_task(keys))
            await serve(
                app,
                sock,
                stop,
                before_end=services.feed.hub.close,
                access_log=settings.log_level == "DEBUG",
                limits=connection_limits,
            )
            for task in following:
                await end(task)
    finally:
        await services.read_models.close()


def _log_access(access: Access) -> None:
    if access.is_closed():
        logger.warning("every request is rejected: set API_ACCESS_FILE, API_OIDC_ISSUER or API_ANONYMOUS_ROLE")
    else:
        logger.info("access: %s", access.summary())


async def _keep_connected(settings: Settings, services: Services) -> None:
    """Use NATS for ever, also after an error that only a person can mend.

    Until then all clusters become stale and edits are rejected; reads and feeds go on.
    """
    backoff = Backoff()
    while True:
        try:
            await supervised("freshness", lambda: _use_nats(settings, services), retry=Backoff())
        except FatalError as error:
            logger.error("clusters become stale and edits are rejected: %s", error)  # noqa: TRY400  the sentence is enough
        await asyncio.sleep(backoff.next_seconds())


async def _use_nats(settings: Settings, services: Services) -> None:
    async with bus.connected(
        settings.nats_url,
        name=APPLICATION,
        times=services.times.nats,
        clock=services.freshness.clock,
        login=settings.nats_login,
    ) as client:
        services.log.client = client
        availability = Availability(client)
        services.freshness.log_trouble = lambda: availability.trouble
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(bus.watch_connection(client))
                tasks.create_task(availability.follow(client.times.ping_seconds))
                tasks.create_task(client.clock.follow(client, client.times.ping_seconds))
                tasks.create_task(keep_repeating(client, services.read_models, services.times))
                tasks.create_task(keep_expiring(client, services.read_models, services.times))
                tasks.create_task(lag.follow(client, services.read_models, services.freshness.lag, services.times))
                tasks.create_task(services.driver.drive(client.clock))
                tasks.create_task(services.freshness.leases.follow(client))
                await freshness.follow(client, services.freshness)
        finally:
            services.log.client = None


if __name__ == "__main__":
    main("api", Settings, service, loop_factory=uvloop.new_event_loop)
