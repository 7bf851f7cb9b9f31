"""POST /api/v1/tickets: what a browser opens a feed with."""

from fastapi import APIRouter, Response

from summit_api.deps import Now, ServicesDep, ViewerDep
from summit_api.shapes.access import Ticket

router = APIRouter(tags=["events"])


@router.post("/tickets")
async def create_ticket(response: Response, services: ServicesDep, principal: ViewerDep, now: Now) -> Ticket:
    """A ticket for /api/v1/events?ticket=…: for who cannot send a header there, as a browser's EventSource.

    It sees what you see, opens feeds only, and is good for a minute.
    """
    response.headers["Cache-Control"] = "no-store"
    ticket, expires_at = services.access.tickets.new(principal, now)
    return Ticket(ticket=ticket, expires_at=expires_at)
