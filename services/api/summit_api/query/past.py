"""The VMs as they were at some time: a table of that name and shape, made of `vms` and the journal.

A VM is shown in the last state that was observed by then. The row has it if nothing was observed since; for all other
VMs the journal has it, and one look by index events_by_key finds it. So the cost grows with the VMs that have changed
since: with 100 000 VMs, a page takes 0.1 s when none has changed and 1 s when all have (measured).
"""

from datetime import datetime

from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import BigInteger, Boolean, DateTime

from summit_api.query.transaction.arguments import Bind
from summit_api.query.transaction.errors import HistoryNotKeptError, InvalidValueError
from summit_api.query.transaction.read_transaction import ReadTransaction
from summit_models.event import VmEventType
from summit_models.tables import ENTRY_SHOWN_BY, vms
from summit_models.vm import Vm

_TYPES = {BigInteger: "bigint", Boolean: "boolean", DateTime: "timestamptz", JSONB: "jsonb"}

_STATE = {name: field.alias or name for name, field in Vm.model_fields.items()}
"""Columns, and their members in the data of an event."""

_COLUMNS = ", ".join(_STATE)
_MEMBERS = ", ".join(f'"{member}" {_TYPES.get(type(vms.c[name].type), "text")}' for name, member in _STATE.items())
# The id is the row's, so that a query for one VM needs one look into the journal.
_THEN = ", ".join("changed.id" if name == "id" else f'state."{member}"' for name, member in _STATE.items())


def check(transaction: ReadTransaction, at: datetime, now: datetime) -> None:
    """Raise QueryError for a time in the future, and for one before the kept history."""
    if at > now:
        raise InvalidValueError(
            f"{at.isoformat()} is in the future: it is {now.isoformat(timespec='seconds')}", parameter="at"
        )
    if transaction.history_since and at < transaction.history_since:
        since = transaction.history_since.isoformat()
        raise HistoryNotKeptError(f"history before {since} has been dropped; ask for a later time")


def vms_at(at: datetime | None, bind: Bind) -> str:
    """A WITH clause for the beginning of a statement: its `vms` are the living VMs as they were. Empty for now."""
    if at is None:
        return ""
    time = bind(at)
    return f"""
        WITH vms AS (
            SELECT {_COLUMNS}, shown_by, observed_at, revision, NULL::timestamptz AS deleted_at
            FROM vms WHERE observed_at <= {time} AND deleted_at IS NULL
            UNION ALL
            SELECT {_THEN}, changed.shown_by, event.time, event.revision, NULL
            FROM vms AS changed
            CROSS JOIN LATERAL (
                SELECT type, data, time, revision FROM events
                WHERE key = changed.id AND collection = 'vms' AND time <= {time}
                    AND {ENTRY_SHOWN_BY.format("events.")} = changed.shown_by
                ORDER BY time DESC, revision DESC LIMIT 1
            ) AS event
            CROSS JOIN LATERAL jsonb_to_record(event.data) AS state ({_MEMBERS})
            WHERE changed.observed_at > {time} AND event.type <> '{VmEventType.DELETED}'
        )"""  # noqa: S608  names are our own
