"""A read of the tables as of one moment. It is answered 304 if the client still has the current answer.

The entity tag shows that. It is computed from numbers, so a 304 needs no query and no answer.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from importlib.metadata import version
from typing import Annotated

from fastapi import Depends, Header, Query, Request, Response

from summit_api.access.principal import Principal, Scope
from summit_api.freshness import Freshness
from summit_api.http.answer import Json
from summit_api.problems import Kind, ProblemError
from summit_api.query import past
from summit_api.query.parameters import WantedRevision
from summit_api.query.transaction.read_transaction import ReadTransaction
from summit_api.render.moment import Moment
from summit_api.requests.dependencies import MomentDep, ServicesDep, ViewerDep
from summit_api.services import Services
from summit_models.contract import Revision

_API_VERSION = version("summit-connect")

IfNoneMatch = Annotated[
    str | None, Header(description="`ETag` of the answer you have; the answer is 304 if it is still current")
]


@dataclass(frozen=True)
class Reading:
    """One conditional request for what the tables contain."""

    transaction: ReadTransaction
    moment: Moment
    freshness: Freshness
    if_none_match: str | None
    principal: Principal
    target: str
    """Path and query: the tag of one list must not confirm another."""

    @property
    def scope(self) -> Scope:
        """The part that the principal may see. Every query applies it; the rest is answered 404."""
        return self.principal.scope

    def tag(self, *, ages: bool = False, staleness: bool = False, contacts: bool = False, counts: object = None) -> str:
        """The entity tag of an answer that shows ages, staleness, the clusters' last contacts, or such counts.

        The fingerprint is made of all that the answer depends on beside the revision. Another stream, or a restored
        one, may use the number again, so the era and the time at which it was applied are part of it. An age that a 304
        confirms is at most a minute old; the tag is weak for that minute.
        """
        seconds = int(self.moment.now.timestamp())
        parts = (
            *(_API_VERSION, self.transaction.position.era, self.transaction.as_of),
            *(self.target, self.scope.fingerprint()),
            seconds // 60 if ages else None,
            sorted(self.moment.fresh_clusters or ()) if staleness else None,
            # A lag grows with each second, most of all while no watcher reports.
            (seconds, *sorted(map(repr, self.freshness.reports()))) if contacts else None,
            counts,
        )
        fingerprint = blake2b(repr(parts).encode(), digest_size=6).hexdigest()
        return f'W/"{self.transaction.revision}-{fingerprint}"'

    def at(self, time: datetime | None) -> Moment:
        """The moment that an answer shows: now, or the given time. Raises QueryError for an impossible time."""
        if time is None:
            return self.moment
        past.check(self.transaction, time, self.moment.now)
        return Moment(time, None)

    def unchanged(self, tag: str) -> Response | None:
        """304 if the client has the answer with this tag, compared weakly (RFC 9110 §13.1.2); None if it has not."""
        known = {candidate.strip().removeprefix("W/") for candidate in (self.if_none_match or "").split(",")}
        is_known = "*" in known or tag.removeprefix("W/") in known
        return Response(status_code=304, headers=self._headers(tag)) if is_known else None

    def answer(self, body: bytes, tag: str) -> Response:
        """The answer; 304 if the client has it."""
        return self.unchanged(tag) or Json(body, headers=self._headers(tag))

    def _headers(self, tag: str) -> dict[str, str]:
        """`no-cache`: keep it, but ask each time. Headers have the position, too, for answers that are bare arrays."""
        position = self.transaction.position
        position_headers = {"Summit-Revision": str(position.revision), "Summit-Position": str(position)}
        return {"ETag": tag, "Cache-Control": "no-cache", **position_headers}


async def reading(
    request: Request,
    services: ServicesDep,
    moment: MomentDep,
    principal: ViewerDep,
    *,
    if_none_match: IfNoneMatch = None,
    revision: Annotated[WantedRevision, Query()] = None,
) -> AsyncIterator[Reading]:
    if revision is not None:  # before a connection is taken: a request that waits must not keep others from reading
        await services.revisions.wait_for(revision, services.times.applied_seconds)
    async with services.read_models.transaction() as transaction:
        if revision is not None and transaction.revision < revision:
            raise _not_applied(revision, transaction.revision)
        target = f"{request.url.path}?{request.url.query}"
        yield Reading(transaction, moment, services.freshness, if_none_match, principal, target)


async def wait_until_applied(services: Services, revision: int | None) -> None:
    """Wait until the tables have this revision, if one is wanted. Raises ProblemError 409 if they do not in time."""
    if revision is not None and not await services.revisions.wait_for(revision, services.times.applied_seconds):
        raise _not_applied(revision, services.revisions.current)


def _not_applied(revision: int, current: Revision) -> ProblemError:
    return ProblemError(
        Kind.REVISION_NOT_APPLIED,
        f"the tables did not reach revision {revision} in time, they are at {current}; "
        "ask again, or without `revision`",
    )


# Scope "function": the connection is back in the pool before the answer is sent to a slow client.
ReadingDep = Annotated[Reading, Depends(reading, scope="function")]
