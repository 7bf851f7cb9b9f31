"""The answer to an edit, in the original's shape: the new state, and the revision from which on reads show it.

`stored` is None where the edit changed nothing.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from fastapi import Response

from summit_api.edits.event_log import Stored
from summit_api.freshness import Freshness
from summit_api.render import original
from summit_api.render.moment import Moment
from summit_models.datacenter import Datacenter
from summit_models.vm import Vm


def datacenter(
    state: Datacenter, fleet: Iterable[Sequence[Any]], freshness: Freshness, now: datetime, stored: Stored | None
) -> Response:
    return _answer(original.datacenter(state, fleet, _moment(freshness, now)), stored)


def vm(state: Vm, freshness: Freshness, now: datetime, stored: Stored | None) -> Response:
    return _answer(original.vm(state, _moment(freshness, now)), stored)


def migrated(state: Vm, message: str, freshness: Freshness, now: datetime, stored: Stored) -> Response:
    moved = original.vm(state, _moment(freshness, now))
    return _answer({"success": True, "message": message, "vm": moved}, stored)


def no_content(stored: Stored) -> Response:
    return Response(status_code=_status(stored, 204), headers=_headers(stored))


def _answer(body: Any, stored: Stored | None) -> Response:
    return Response(
        msgspec.json.encode(body),
        status_code=_status(stored, 200),
        media_type="application/json",
        headers=_headers(stored),
    )


def _status(stored: Stored | None, done: int) -> int:
    return done if stored is None or stored.applied else 202


def _headers(stored: Stored | None) -> dict[str, str]:
    return {} if stored is None else {"Summit-Revision": str(stored.revision)}


def _moment(freshness: Freshness, now: datetime) -> Moment:
    return Moment(now, freshness.fresh_clusters(now))
