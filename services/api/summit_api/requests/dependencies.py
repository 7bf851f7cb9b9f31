"""What every request has: the process' services, and the time it is answered at."""

from datetime import UTC, datetime
from typing import Annotated, cast

from fastapi import Depends, Request

from summit_api.services import Services


async def services(request: Request) -> Services:
    return cast(Services, request.app.state.services)


async def now() -> datetime:
    return datetime.now(UTC)


ServicesDep = Annotated[Services, Depends(services)]
Now = Annotated[datetime, Depends(now)]
