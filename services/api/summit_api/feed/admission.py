"""How long a client may follow. A feed can outlive a token, so its client is identified again every few seconds."""

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime

from summit_api.access.identify import Access
from summit_api.access.principal import Principal
from summit_api.problems import ProblemError
from summit_api.settings import ApiTimes


async def withdrawn(
    access: Access, principal: Principal, headers: Mapping[str, str], times: ApiTimes, *, by_ticket: bool
) -> None:
    """Return when the sender of these headers no longer is the principal that was admitted."""
    ticket_ends = time.monotonic() + times.ticket_feed_seconds
    while True:
        await asyncio.sleep(times.admission_seconds)
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
        now_known = await access.identify(headers, now)
    except ProblemError as problem:
        return problem.status not in (401, 403)  # else the issuer is away, which withdraws nothing
    return (now_known.role, now_known.scope) == (principal.role, principal.scope)
