"""Dependencies of routes: the process' services, the time of the answer, who sends the request, valid parameters."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, cast, get_origin

from fastapi import Depends, Query, Request

from summit_api.access.principal import Principal, Role
from summit_api.access.tickets import MAX_LENGTH
from summit_api.limits.clients import client_of
from summit_api.problems import Kind, ProblemError
from summit_api.problems.problem import wrong_fields
from summit_api.problems.validation import FieldError
from summit_api.query.parameters import OnlyThese
from summit_api.render.moment import Moment
from summit_api.services import Services


async def services(request: Request) -> Services:
    return cast(Services, request.app.state.services)


async def now() -> datetime:
    return datetime.now(UTC)


ServicesDep = Annotated[Services, Depends(services)]
Now = Annotated[datetime, Depends(now)]
"""By the clock of this machine, as tokens are."""


async def moment(services: ServicesDep, now: Now) -> Moment:
    return services.freshness.moment(now)


MomentDep = Annotated[Moment, Depends(moment)]
"""By the clock that all processes share, as the times in events are."""


async def principal(request: Request, services: ServicesDep, now: Now) -> AsyncIterator[Principal]:
    """The sender, by the Authorization header. The request counts for its client while it is under way."""
    asking = await _identified(request, services, now)
    with services.clients.request(client_of(asking, host_of(request))):
        yield asking


async def visitor(request: Request, services: ServicesDep, now: Now) -> AsyncIterator[Principal | None]:
    """As `principal`; None for a request without a token where everybody needs one."""
    if services.access.anonymous is None and "authorization" not in request.headers:
        yield None
        return
    asking = await _identified(request, services, now)
    with services.clients.request(client_of(asking, host_of(request))):
        yield asking


async def feed_principal(
    request: Request,
    services: ServicesDep,
    now: Now,
    ticket: Annotated[str | None, Query(max_length=MAX_LENGTH, description="Instead of a token, for browsers")] = None,
) -> AsyncIterator[Principal]:
    """The sender, also by a ticket, since a browser cannot send headers there. A feed counts while it is open."""
    asking = await _identified(request, services, now, ticket)
    with services.clients.feed(client_of(asking, host_of(request))):
        yield asking


async def _identified(request: Request, services: Services, now: datetime, ticket: str | None = None) -> Principal:
    """The sender. A request that is rejected counts for its address: trying tokens is no way around the limits."""
    try:
        return await services.access.identify(request.headers, now, ticket=ticket)
    except ProblemError:
        services.clients.count(client_of(None, host_of(request)))
        raise


def host_of(request: Request) -> str | None:
    """The address of the sender."""
    return request.client.host if request.client else None


class AtLeast:
    """The dependency of a route that needs a role. The documents and the tests read the role from it."""

    def __init__(self, role: Role) -> None:
        self.role = role

    async def __call__(self, asking: Annotated[Principal, Depends(principal, scope="function")]) -> Principal:
        return self.admit(asking)

    def admit(self, asking: Principal) -> Principal:
        if asking.role < self.role:
            raise ProblemError(
                Kind.FORBIDDEN, f"this needs the role {self.role}; {asking.name} has the role {asking.role}"
            )
        return asking


class FeedAtLeast(AtLeast):
    """The same for a feed, which a ticket can open."""

    async def __call__(self, asking: Annotated[Principal, Depends(feed_principal)]) -> Principal:
        return self.admit(asking)


# The role a route needs: each names one of these, or ReadingDep, which is for viewers.
ViewerDep = Annotated[Principal, Depends(AtLeast(Role.VIEWER))]
OperatorDep = Annotated[Principal, Depends(AtLeast(Role.OPERATOR))]
AdminDep = Annotated[Principal, Depends(AtLeast(Role.ADMIN))]
FeedViewerDep = Annotated[Principal, Depends(FeedAtLeast(Role.VIEWER))]
VisitorDep = Annotated[Principal | None, Depends(visitor, scope="function")]
"""Of a route that everybody may use: it shows the fleet only to principals, who all are viewers at least."""


async def refuse_repeated(request: Request) -> None:
    """Raises ProblemError 422 for a single value that is given twice, since one of the two would be ignored."""
    given = request.query_params
    for name in single_valued() & given.keys():
        if len(values := given.getlist(name)) > 1:
            detail = f"can have one value, but {len(values)} were given"
            fields = [FieldError(field=name, detail=detail)]
            raise wrong_fields(Kind.INVALID_PARAMETER, fields)


async def refuse_preconditions(request: Request) -> None:
    """Raises ProblemError 412 for an edit that depends on a tag or a time: tags here are weak, and none is exact enough
    for `If-Match` (RFC 9110 section 13.1.1). Doing it anyway could undo what somebody else has done meanwhile.
    """
    headers = request.headers
    if request.method != "GET" and ("if-unmodified-since" in headers or headers.get("if-match", "*").strip() != "*"):
        detail = "an edit takes neither If-Match nor If-Unmodified-Since, and nothing was done: send it without"
        raise ProblemError(Kind.PRECONDITION, detail)


@cache
def single_valued() -> frozenset[str]:
    """Every parameter of any route that is not a list. A list can be repeated, which means or."""
    return frozenset(_single_valued(OnlyThese))


def _single_valued(model: type[OnlyThese]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        if get_origin(field.annotation) is not list:
            yield field.alias or name
    for narrower in model.__subclasses__():
        yield from _single_valued(narrower)
