"""How long a client may follow. A feed outlives tokens: what let its client in is looked at again and again."""

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime

from summit_api.access.identify import Access
from summit_api.access.principal import Principal
from summit_api.problems import ProblemError

LOOK_SECONDS = 15.0
"""How long at most a withdrawn token goes on to be told of changes."""
TICKET_SECONDS = 3600.0
"""A ticket says nothing of what became of the token that it was got with: its page gets another one each hour."""


async def withdrawn(access: Access, principal: Principal, headers: Mapping[str, str], *, by_ticket: bool) -> None:
    """Return when who came with these headers is no longer who was let in."""
    ticket_ends = time.monotonic() + TICKET_SECONDS
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        now = datetime.now(UTC)
        if principal.until and principal.until <= now:
            return
        if by_ticket:
            if time.monotonic() >= ticket_ends:
                return
        elif not await _is_still(access, principal, headers, now):
            return


async def _is_still(access: Access, principal: Principal, headers: Mapping[str, str], now: datetime) -> bool:
    try:
        asking = await access.identify(headers, now)
    except ProblemError as problem:
        return problem.status not in (401, 403)  # else the issuer is away: that withdraws nothing
    return (asking.role, asking.scope) == (principal.role, principal.scope)
