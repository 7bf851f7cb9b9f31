"""The parts of the process that all requests share."""

import asyncio
from dataclasses import dataclass
from typing import Self

from summit_api.access.identify import Access
from summit_api.access.oidc import Issuer
from summit_api.access.pages import ANY
from summit_api.access.policy import PolicyError, PolicyFile
from summit_api.access.principal import Role
from summit_api.access.tickets import Tickets
from summit_api.bulk.asking import BulkOperations
from summit_api.bulk.driver import Driver
from summit_api.edits.event_log import EventLog
from summit_api.feed.feed import Feed, FeedLimits
from summit_api.freshness import Freshness
from summit_api.limits.clients import Clients
from summit_api.limits.turns import Turns
from summit_api.operations.asking import Operations
from summit_api.query.inventory import InventorySeries
from summit_api.query.transaction.read_transaction import ReadModels
from summit_api.revisions import Revisions
from summit_api.settings import ApiTimes, Settings
from summit_runtime.process import FatalError

SCRAPES_AT_ONCE = 2
"""As many as there are Prometheus servers where two watch over each other."""


@dataclass(frozen=True)
class Services:
    """Its parts; each request uses some."""

    read_models: ReadModels
    freshness: Freshness
    revisions: Revisions
    log: EventLog
    operations: Operations
    bulk_operations: BulkOperations
    driver: Driver
    feed: Feed
    access: Access
    clients: Clients
    times: ApiTimes
    inventory: InventorySeries
    scrapes: Turns
    """Of the inventory: each holds a connection of the pool and a transaction for as long as its client takes."""

    @classmethod
    def over(
        cls,
        read_models: ReadModels,
        access: Access | None = None,
        clients: Clients | None = None,
        *,
        times: ApiTimes | None = None,
        feed_limits: FeedLimits | None = None,
        inventory: InventorySeries | None = None,
    ) -> Self:
        """All parts, before anything is read. Without `access` every request is rejected."""
        times = times or ApiTimes()
        freshness, revisions = Freshness(), Revisions()
        bulk_changed = asyncio.Event()
        limits = feed_limits or FeedLimits()
        feed = Feed(read_models, freshness, revisions, times=times, limits=limits, bulk_changed=bulk_changed)
        log = EventLog(revisions, times)
        operations = Operations(log, read_models, freshness, revisions, times)
        bulk_operations = BulkOperations(log, read_models, operations.objections, revisions, times)
        driver = Driver(log, read_models, operations, revisions, times=times, changed=bulk_changed)
        return cls(
            read_models=read_models,
            freshness=freshness,
            revisions=revisions,
            log=log,
            operations=operations,
            bulk_operations=bulk_operations,
            driver=driver,
            feed=feed,
            access=access or Access(),
            clients=clients or Clients(),
            times=times,
            inventory=inventory or InventorySeries(),
            scrapes=Turns(SCRAPES_AT_ONCE),
        )

    @classmethod
    def configured(cls, settings: Settings) -> Self:
        clients = Clients(
            requests_per_second=settings.client_requests_per_second,
            burst=settings.client_burst,
            concurrent_requests=settings.client_requests,
            feeds=settings.client_feeds,
        )
        return cls.over(
            ReadModels(settings.database_url, query_seconds=settings.query_seconds),
            configured_access(settings),
            clients,
            feed_limits=FeedLimits(buffer_bytes=settings.feed_buffer_mib << 20),
            inventory=InventorySeries(settings.inventory_series, settings.inventory_labels),
        )


def configured_access(settings: Settings) -> Access:
    """Raises FatalError for an access file that cannot be read: without it every request would be rejected."""
    role, issuer = settings.anonymous_role, None
    if settings.oidc_issuer and settings.oidc_audience:
        issuer = Issuer(
            issuer=settings.oidc_issuer,
            audience=settings.oidc_audience,
            name_claim=settings.oidc_name_claim,
            groups_claim=settings.oidc_groups_claim,
        )
    try:
        policy = PolicyFile(settings.access_file) if settings.access_file else None
    except PolicyError as error:
        raise FatalError(str(error)) from error
    return Access(
        anonymous=None if role == "none" else Role[role.upper()],
        policy=policy,
        admin_token=settings.admin_token.get_secret_value() if settings.admin_token else None,
        issuer=issuer,
        tickets=Tickets(settings.ticket_key),
        origins=[origin for origin in settings.origins if origin != ANY],
        host=settings.host,
    )
