"""The VMs as they were at some time: a table of that name and shape, made of `vms` and the journal.

A VM is shown in the last state that was observed by then. The row has it if nothing was observed since; for all other
VMs the journal has it, and one look by index events_by_key finds it. So the cost grows with the VMs that have changed
since: with 100 000 VMs, a page takes 0.1 s when none has changed and 1 s when all have (measured).
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import BigInteger, Boolean, DateTime

from summit_api.access.principal import Scope
from summit_api.query.transaction.arguments import Arguments, Bind, one_of, where
from summit_api.query.transaction.errors import HistoryNotKeptError, InvalidValueError
from summit_api.query.transaction.read_transaction import ReadTransaction
from summit_models.cluster import ConnectionState
from summit_models.event import VmEventType, cluster_event_type
from summit_models.tables import ENTRY_SHOWN_BY, vms
from summit_models.vm import Vm

_TYPES = {BigInteger: "bigint", Boolean: "boolean", DateTime: "timestamptz", JSONB: "jsonb"}

_STATE = {name: field.alias or name for name, field in Vm.model_fields.items()}
"""Columns, and their members in the data of an event."""

_COLUMNS = ", ".join(_STATE)
_MEMBERS = ", ".join(f'"{member}" {_TYPES.get(type(vms.c[name].type), "text")}' for name, member in _STATE.items())
# The id is the row's, so that a query for one VM needs one look into the journal.
_THEN = ", ".join("changed.id" if name == "id" else f'state."{member}"' for name, member in _STATE.items())

# Index events_by_key, once for each VM or cluster: less than the list that was empty has cost.
_FIRST_KNOWN = {
    "vms": f"""least(observed_at, (
        SELECT time FROM events
        WHERE key = vms.id AND collection = 'vms' AND {ENTRY_SHOWN_BY.format("events.")} = shown_by
        ORDER BY time LIMIT 1
    ))""",  # noqa: S608  names are our own
    "clusters": f"""(
        SELECT time FROM events
        WHERE key = clusters.name AND collection = 'clusters'
            AND type = '{cluster_event_type(ConnectionState.SYNCED)}'
        ORDER BY time LIMIT 1
    )""",  # noqa: S608  names are our own
}
_CLUSTER_COLUMNS = {"vms": "cluster", "clusters": "name"}


def check(transaction: ReadTransaction, at: datetime, now: datetime) -> None:
    """Raise QueryError for a time in the future, and for one before the kept history."""
    if at > now:
        raise InvalidValueError(
            f"{at.isoformat()} is in the future: it is {now.isoformat(timespec='seconds')}", parameter="at"
        )
    if transaction.history_since and at < transaction.history_since:
        since = transaction.history_since.isoformat()
        raise HistoryNotKeptError(f"history before {since} has been dropped; ask for a later time")


async def check_known(
    transaction: ReadTransaction,
    at: datetime,
    scope: Scope,
    *,
    datacenter: Sequence[str] = (),
    cluster: Sequence[str] = (),
) -> None:
    """Raise HistoryNotKeptError if nothing was known yet at that time of what the scope and these places have.

    For an answer that is empty: it would say that there was nothing. A cluster is known once its first lists are
    complete. A place without a cluster and without a VM is as empty as it is now.
    """
    places = {"datacenter": datacenter, "cluster": cluster}
    since, clusters = await _known_since(transaction, "clusters", scope, **places)
    if since is None or at < since:
        of_vms, _ = await _known_since(transaction, "vms", scope, **places)
        since = min(filter(None, (since, of_vms)), default=None)
        if since is not None and at < since:
            raise HistoryNotKeptError(
                f"nothing of what you asked for was known before {since.isoformat()}; ask for a later time"
            )
        if since is None and clusters:
            raise HistoryNotKeptError("nothing of what you asked for is known yet: no cluster of it has been read")


async def _known_since(
    transaction: ReadTransaction, table: str, scope: Scope, *, datacenter: Sequence[str], cluster: Sequence[str]
) -> tuple[datetime | None, int]:
    """Since when a row of these places is known, and how many there are."""
    arguments = Arguments()
    columns = {"datacenter": datacenter, _CLUSTER_COLUMNS[table]: cluster}
    conditions = [
        *scope.conditions(arguments.bind, namespace="namespace" if table == "vms" else None),
        *(one_of(column, values, arguments.bind) for column, values in columns.items() if values),
    ]
    statement = f"SELECT min({_FIRST_KNOWN[table]}), count(*) FROM {table} {where(conditions)}"  # noqa: S608  our names
    ((since, rows),) = await transaction.fetch(statement, *arguments)
    return since, rows


def vms_at(at: datetime | None, bind: Bind) -> str:
    """A WITH clause for the beginning of a statement: its `vms` are the living VMs as they were. Empty for now."""
    if at is None:
        return ""
    time = bind(at)
    return f"""
        WITH vms AS NOT MATERIALIZED (
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
