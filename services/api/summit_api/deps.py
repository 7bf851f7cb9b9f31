"""What routes ask for, named once: the tables as of one moment, how fresh the clusters are, what the client has."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, cast

from fastapi import Depends, Header, Request, Response

from summit_api.freshness import Freshness
from summit_api.query import etag
from summit_api.query.snapshot import ReadModels, Snapshot
from summit_api.render.moment import Moment


@dataclass(frozen=True)
class Services:
    """What the process holds for all requests."""

    read_models: ReadModels
    freshness: Freshness


async def services(request: Request) -> Services:
    return cast(Services, request.app.state.services)


async def now() -> datetime:
    return datetime.now(UTC)


ServicesDep = Annotated[Services, Depends(services)]
Now = Annotated[datetime, Depends(now)]


IfNoneMatch = Annotated[str | None, Header(description="`ETag` of the answer you have; 304 if it still is the answer")]


@dataclass(frozen=True)
class Reading:
    """One conditional request for a consistent picture."""

    snapshot: Snapshot
    moment: Moment
    freshness: Freshness
    if_none_match: str | None

    def tag(self, *, ages: bool = False, staleness: bool = False, contacts: bool = False) -> str:
        """The entity tag of an answer that shows ages, staleness, or the clusters' last contacts."""
        return etag.tag_of(
            self.snapshot,
            etag.minute(self.moment.now) if ages else None,
            sorted(self.moment.fresh_clusters) if staleness else None,
            sorted(map(repr, self.freshness.healths())) if contacts else None,
        )

    def is_known(self, tag: str) -> bool:
        return etag.is_known(tag, self.if_none_match)

    def answer(self, body: bytes, tag: str) -> Response:
        return Response(body, media_type="application/json", headers=self._headers(tag))

    def not_modified(self, tag: str) -> Response:
        return Response(status_code=304, headers=self._headers(tag))

    def _headers(self, tag: str) -> dict[str, str]:
        """`no-cache`: keep it, but ask each time. The revision is a header too, for answers that are bare arrays."""
        return {"ETag": tag, "Cache-Control": "no-cache", "Summit-Revision": str(self.snapshot.revision)}


async def reading(services: ServicesDep, now: Now, if_none_match: IfNoneMatch = None) -> AsyncIterator[Reading]:
    moment = Moment(now, services.freshness.fresh_clusters(now))
    async with services.read_models.snapshot() as snapshot:
        yield Reading(snapshot, moment, services.freshness, if_none_match)


# Scope "function": the connection is back in the pool before the answer is sent to a slow client.
ReadingDep = Annotated[Reading, Depends(reading, scope="function")]
