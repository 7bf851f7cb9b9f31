"""What routes ask for, named once: who asks, the tables as of one moment, how fresh the clusters are."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Self, cast

from fastapi import Depends, Header, Query, Request, Response

from summit_api.access.identify import Access
from summit_api.access.principal import Principal, Role
from summit_api.access.scope import Scope
from summit_api.access.tickets import MAX_LENGTH
from summit_api.edits.event_log import EventLog
from summit_api.feed.feed import Feed
from summit_api.feed.limits import FeedLimits
from summit_api.freshness import Freshness
from summit_api.limits.clients import Clients, client_of
from summit_api.problems import ProblemError
from summit_api.query import etag, past
from summit_api.query.parameters import WantedRevision
from summit_api.query.read_transaction import ReadModels, ReadTransaction
from summit_api.render.moment import Moment
from summit_api.revisions import Revisions
from summit_api.settings import ApiTimes
from summit_models.contract import Revision


@dataclass(frozen=True)
class Services:
    """What the process holds for all requests."""

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


async def services(request: Request) -> Services:
    return cast(Services, request.app.state.services)


async def now() -> datetime:
    return datetime.now(UTC)


ServicesDep = Annotated[Services, Depends(services)]
Now = Annotated[datetime, Depends(now)]


async def principal(request: Request, services: ServicesDep, now: Now) -> AsyncIterator[Principal]:
    """Who asks, by the Authorization header; counted among the requests of this client while it is under way."""
    asking = await _identified(request, services, lambda: services.access.identify(request.headers, now))
    with services.clients.request(client_of(asking, _host(request))):
        yield asking


async def feed_principal(
    request: Request,
    services: ServicesDep,
    now: Now,
    ticket: Annotated[str | None, Query(max_length=MAX_LENGTH, description="In place of a token, for browsers")] = None,
) -> AsyncIterator[Principal]:
    """Who asks for a feed: by a ticket too, since a browser can send no header there. Counted while it is open."""
    asking = await _identified(request, services, lambda: services.access.identify(request.headers, now, ticket=ticket))
    with services.clients.feed(client_of(asking, _host(request))):
        yield asking


async def _identified(request: Request, services: Services, identify: Callable[[], Awaitable[Principal]]) -> Principal:
    """Who it is. Who is nobody is counted by address: trying tokens is no way around the limits."""
    try:
        return await identify()
    except ProblemError:
        services.clients.count(client_of(None, _host(request)))
        raise


def _host(request: Request) -> str | None:
    return request.client.host if request.client else None


class AtLeast:
    """The dependency of a route that needs a role; the documents and the tests find the role in it."""

    def __init__(self, role: Role) -> None:
        self.role = role

    async def __call__(self, asking: Annotated[Principal, Depends(principal, scope="function")]) -> Principal:
        return self.admit(asking)

    def admit(self, asking: Principal) -> Principal:
        if asking.role < self.role:
            raise ProblemError(
                403, "Forbidden", f"this needs the role {self.role}; {asking.name} has the role {asking.role}"
            )
        return asking


class FeedAtLeast(AtLeast):
    """The same for a feed, where a ticket will do."""

    async def __call__(self, asking: Annotated[Principal, Depends(feed_principal)]) -> Principal:
        return self.admit(asking)


# The role a route needs: each names one of these, or ReadingDep, which is for viewers.
ViewerDep = Annotated[Principal, Depends(AtLeast(Role.VIEWER))]
OperatorDep = Annotated[Principal, Depends(AtLeast(Role.OPERATOR))]
AdminDep = Annotated[Principal, Depends(AtLeast(Role.ADMIN))]
FeedViewerDep = Annotated[Principal, Depends(FeedAtLeast(Role.VIEWER))]


IfNoneMatch = Annotated[str | None, Header(description="`ETag` of the answer you have; 304 if it still is the answer")]


@dataclass(frozen=True)
class Reading:
    """One conditional request for a consistent picture."""

    transaction: ReadTransaction
    moment: Moment
    freshness: Freshness
    if_none_match: str | None
    principal: Principal
    target: str
    """Path and query: the tag of one list must not confirm another."""

    @property
    def scope(self) -> Scope:
        """What the principal may see: every query applies it, and what it hides answers 404."""
        return self.principal.scope

    def tag(self, *, ages: bool = False, staleness: bool = False, contacts: bool = False) -> str:
        """The entity tag of an answer that shows ages, staleness, or the clusters' last contacts."""
        return etag.tag_of(
            self.transaction,
            self.target,
            self.scope.fingerprint(),
            etag.minute(self.moment.now) if ages else None,
            sorted(self.moment.fresh_clusters or ()) if staleness else None,
            # A lag grows with each second, and most of all when nothing is heard.
            (int(self.moment.now.timestamp()), *sorted(map(repr, self.freshness.healths()))) if contacts else None,
        )

    def at(self, time: datetime | None) -> Moment:
        """The moment an answer shows: this one, or that time. Raises ProblemError when it cannot be shown."""
        if time is None:
            return self.moment
        past.check(self.transaction, time, self.moment.now)
        return Moment(time, None)

    def is_known(self, tag: str) -> bool:
        return etag.is_known(tag, self.if_none_match)

    def answer(self, body: bytes, tag: str) -> Response:
        return Response(body, media_type="application/json", headers=self._headers(tag))

    def not_modified(self, tag: str) -> Response:
        return Response(status_code=304, headers=self._headers(tag))

    def _headers(self, tag: str) -> dict[str, str]:
        """`no-cache`: keep it, but ask each time. Headers tell how far it is, too, for answers that are bare arrays."""
        position = self.transaction.position
        told = {"Summit-Revision": str(position.revision), "Summit-Position": str(position)}
        return {"ETag": tag, "Cache-Control": "no-cache", **told}


async def reading(
    request: Request,
    services: ServicesDep,
    now: Now,
    principal: ViewerDep,
    *,
    if_none_match: IfNoneMatch = None,
    revision: Annotated[WantedRevision, Query()] = None,
) -> AsyncIterator[Reading]:
    if revision is not None:  # before a connection is taken: who waits must not keep others from reading
        await services.revisions.wait_for(revision, services.times.applied_seconds)
    moment = Moment(now, services.freshness.fresh_clusters(now))
    async with services.read_models.transaction() as transaction:
        _refuse_older(transaction, revision)
        target = f"{request.url.path}?{request.url.query}"
        yield Reading(transaction, moment, services.freshness, if_none_match, principal, target)


def _refuse_older(transaction: ReadTransaction, revision: int | None) -> None:
    if revision is not None and transaction.revision < revision:
        raise not_applied(revision, transaction.revision)


def not_applied(revision: int, current: Revision) -> ProblemError:
    return ProblemError(
        409,
        "Revision not applied",
        f"revision {revision} has not been applied, though it was waited for: "
        f"the tables are at {current}; ask again, or without `revision`",
    )


# Scope "function": the connection is back in the pool before the answer is sent to a slow client.
ReadingDep = Annotated[Reading, Depends(reading, scope="function")]
