"""POST /api/v1/tickets: a browser opens a feed with a ticket."""

from fastapi import APIRouter, Response

from summit_api.openapi.responses import ANY, problems
from summit_api.requests.dependencies import Now, ServicesDep
from summit_api.requests.principal import ViewerDep
from summit_api.shapes.inventory import Ticket

router = APIRouter(tags=["events"], responses=problems(*ANY))


@router.post("/tickets")
async def create_ticket(response: Response, services: ServicesDep, principal: ViewerDep, now: Now) -> Ticket:
    """A ticket for /api/v1/events?ticket=…. A browser needs it, since its EventSource cannot send headers.

    It lets its holder see what you may see, only opens feeds, and is valid for a minute.
    """
    response.headers["Cache-Control"] = "no-store"
    ticket, expires_at = services.access.tickets.new(principal, now)
    return Ticket(ticket=ticket, expires_at=expires_at)
