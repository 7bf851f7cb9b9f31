"""GET /api/v1/events: every change as it happens, as server-sent events; and tickets, with which browsers open it."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import AfterValidator, Field

from summit_api.access.tickets import MAX_LENGTH
from summit_api.feed.frame import Topic
from summit_api.feed.response import EventStream, withdrawn
from summit_api.feed.selection import Selection
from summit_api.feed.subscription import FeedRequest, Subscription
from summit_api.limits.clients import client_of
from summit_api.openapi.responses import ANY, Responses, problems
from summit_api.problems import Kind, ProblemError
from summit_api.problems.problem import invalid_value
from summit_api.query.selection.filters import CLUSTER_STATES, ClusterStates, VmFilters
from summit_api.query.transaction.position import PATTERN, Position
from summit_api.requests.dependencies import FeedViewerDep, Now, ServicesDep, ViewerDep, host_of
from summit_api.requests.reading import wait_until_applied
from summit_api.shapes.inventory import Ticket

router = APIRouter(tags=["events"])


def _position(text: str) -> str:
    if Position.parse(text):
        return text
    raise ValueError(f"must be the position of a list or the id of a message, as 41877-3f9a2c01, not {text!r}")


class FeedQuery(VmFilters):
    """Where the feed begins, and which changes it has."""

    since: Annotated[str, AfterValidator(_position)] | None = Field(
        default=None,
        json_schema_extra={"pattern": PATTERN},
        description="Continue after this `position` of a list or id of a message",
        examples=["41877-3f9a2c01"],
    )
    snapshot: bool = Field(
        default=False,
        description="Begin with each matching VM as `vm:added`, then `snapshot:done`. Has no effect if `since` or "
        "`Last-Event-ID` says where to continue",
    )
    ticket: str | None = Field(
        default=None, max_length=MAX_LENGTH, description="A ticket instead of a token, for browsers"
    )
    """Named here since it would be rejected otherwise; `feed_principal` reads it."""
    state: ClusterStates = CLUSTER_STATES
    types: list[Topic] = Field(default=[], max_length=len(Topic), description="Topics of the messages; default is all")


LastEventId = Annotated[
    str | None,
    Header(description="Id of the last message, which browsers send by themselves. Takes precedence over `since`"),
]

_EXAMPLE = """retry: 3000
event: hello
data: {"msg":"connected"}

id: 41877-3f9a2c01
data: {"payload":{"datacenter":"dc-solna","vm":{"id":"0b2f6f0e-…","name":"erp-db-01","status":"stopped",…},\
"changes":{"status":"running"}},"timestamp":"2026-08-21T02:14:22.104Z","type":"vm:updated"}

: heartbeat

id: 41902-3f9a2c01
event: bookmark
data: {"revision":41902}

"""
_FEED: Responses = {
    200: {
        "description": "Messages, until the client disconnects. docs/api.md has their types and payloads",
        "content": {"text/event-stream": {"schema": {"type": "string"}, "example": _EXAMPLE}},
    },
    **problems(*ANY, Kind.INVALID_VALUE, Kind.REVISION_NOT_APPLIED, Kind.SCHEMA_NEWER),
}


@router.get("/events", response_class=Response, responses=_FEED)
async def follow_events(
    request: Request,
    services: ServicesDep,
    principal: FeedViewerDep,
    query: Annotated[FeedQuery, Query()],
    last_event_id: LastEventId = None,
) -> EventStream:
    """Every change, once and in order, as server-sent events; filters are those of /api/v1/vms.

    A message is sent when lists show the change. A VM that enters the filtered list is `vm:added`, one that leaves it
    is `vm:removed`. When a feed cannot continue without a gap, it sends a message `reset`: list again.
    """
    if services.feed.refusal:
        raise ProblemError(Kind.SCHEMA_NEWER, services.feed.refusal)
    await wait_until_applied(services, query.revision)
    selection = Selection(principal.scope, query, frozenset(query.types) or None, query.state)
    client = client_of(principal, host_of(request))
    wanted = FeedRequest(client, selection, _after(last_event_id, query.since), query.snapshot)
    by_ticket = query.ticket is not None
    ends = partial(withdrawn, services.access, principal, request.headers, services.times, by_ticket=by_ticket)
    return EventStream(Subscription(wanted, services.feed), ends, services.times.heartbeat_seconds)


def _after(last_event_id: str | None, since: str | None) -> Position | None:
    """Where to continue. A browser that reconnects repeats the address and adds the header, which is newer."""
    try:
        after = _position(last_event_id) if last_event_id else since
    except ValueError as error:
        raise invalid_value("Last-Event-ID", str(error)) from error
    return None if after is None else Position.parse(after)


@router.post("/tickets", responses=problems(*ANY))
async def create_ticket(response: Response, services: ServicesDep, principal: ViewerDep, now: Now) -> Ticket:
    """A ticket for /api/v1/events?ticket=…. A browser needs it, since its EventSource cannot send headers.

    It lets its holder see what you may see, only opens feeds, and is valid for a minute.
    """
    response.headers["Cache-Control"] = "no-store"
    ticket, expires_at = services.access.tickets.new(principal, now)
    return Ticket(ticket=ticket, expires_at=expires_at)
