"""What the process holds for all requests."""

from dataclasses import dataclass
from typing import Self

from summit_api.access.identify import Access
from summit_api.edits.event_log import EventLog
from summit_api.feed.feed import Feed, FeedLimits
from summit_api.freshness import Freshness
from summit_api.limits.clients import Clients
from summit_api.query.read_transaction import ReadModels
from summit_api.revisions import Revisions
from summit_api.settings import ApiTimes


@dataclass(frozen=True)
class Services:
    """Its parts; each request uses some."""

    read_models: ReadModels
    freshness: Freshness
    revisions: Revisions
    log: EventLog
    feed: Feed
    access: Access
    clients: Clients
    times: ApiTimes

    @classmethod
    def over(
        cls,
        read_models: ReadModels,
        access: Access | None = None,
        clients: Clients | None = None,
        *,
        times: ApiTimes | None = None,
        feed_limits: FeedLimits | None = None,
    ) -> Self:
        """All parts, before anything is read. Without `access` every request is rejected."""
        times = times or ApiTimes()
        freshness, revisions = Freshness(), Revisions()
        feed = Feed(read_models, freshness, revisions, times=times, limits=feed_limits or FeedLimits())
        log = EventLog(revisions, times)
        return cls(read_models, freshness, revisions, log, feed, access or Access(), clients or Clients(), times)
