"""Who sends a request, and whether their role is enough for the route."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Query, Request

from summit_api.access.principal import Principal, Role
from summit_api.access.tickets import MAX_LENGTH
from summit_api.limits.clients import client_of
from summit_api.problems import Kind, ProblemError
from summit_api.requests.dependencies import Now, ServicesDep
from summit_api.services import Services


async def principal(request: Request, services: ServicesDep, now: Now) -> AsyncIterator[Principal]:
    """Who sends the request, by its Authorization header. The request counts for its client while it is under way."""
    asking = await _identified(request, services, lambda: services.access.identify(request.headers, now))
    with services.clients.request(client_of(asking, _host(request))):
        yield asking


async def feed_principal(
    request: Request,
    services: ServicesDep,
    now: Now,
    ticket: Annotated[str | None, Query(max_length=MAX_LENGTH, description="Instead of a token, for browsers")] = None,
) -> AsyncIterator[Principal]:
    """Who opens a feed: by a ticket too, since a browser cannot send headers there. It counts while it is open."""
    asking = await _identified(request, services, lambda: services.access.identify(request.headers, now, ticket=ticket))
    with services.clients.feed(client_of(asking, _host(request))):
        yield asking


async def _identified(request: Request, services: Services, identify: Callable[[], Awaitable[Principal]]) -> Principal:
    """Who it is. A request that is rejected counts for its address: trying tokens is no way around the limits."""
    try:
        return await identify()
    except ProblemError:
        services.clients.count(client_of(None, _host(request)))
        raise


def _host(request: Request) -> str | None:
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
