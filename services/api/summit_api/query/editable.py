"""The object that is about to be edited, with the revision that the edit is based on."""

from typing import Generic, NamedTuple, TypeVar

from summit_api.access.principal import Scope
from summit_api.query.arguments import Arguments, where
from summit_api.query.datacenters import SHOWN
from summit_api.query.read_transaction import ReadTransaction
from summit_models.contract import DatacenterId, Revision, Uid
from summit_models.datacenter import Datacenter
from summit_models.vm import Vm

T = TypeVar("T")


class Editable(NamedTuple, Generic[T]):
    state: T
    revision: Revision


class Used(NamedTuple):
    """A VM's id that is, or was, in use."""

    revision: Revision
    free: bool
    """The VM was added by hand and removed: the id can be used again."""


async def datacenter(transaction: ReadTransaction, scope: Scope, id_: DatacenterId) -> Editable[Datacenter] | None:
    """A datacenter that is shown, by the primary key."""
    arguments = Arguments()
    visible = scope.conditions(arguments.bind, datacenter="id", namespace=None)
    conditions = [f"id = {arguments.bind(id_)}", SHOWN, *visible]
    for state, revision in await transaction.fetch(
        f"SELECT row_to_json(datacenters)::text, revision FROM datacenters {where(conditions)}",  # noqa: S608
        *arguments,
    ):
        return Editable(Datacenter.model_validate_json(state), revision)
    return None


async def vm(transaction: ReadTransaction, scope: Scope, datacenter: DatacenterId, uid: Uid) -> Editable[Vm] | None:
    """The living VM of that id in that datacenter, by the primary key."""
    arguments = Arguments()
    conditions = [f"id = {arguments.bind(uid)}", f"datacenter = {arguments.bind(datacenter)}", "deleted_at IS NULL"]
    return await _first_vm(transaction, scope, arguments, conditions)


async def first_to_migrate(transaction: ReadTransaction, scope: Scope) -> Editable[Vm] | None:
    """The first running VM by datacenter and name, else the first VM. One scan, since this is a rare request."""
    order = "ORDER BY (status = 'running') DESC, datacenter, name, id LIMIT 1"
    return await _first_vm(transaction, scope, Arguments(), ["deleted_at IS NULL"], order)


async def _first_vm(
    transaction: ReadTransaction, scope: Scope, arguments: Arguments, conditions: list[str], order: str = ""
) -> Editable[Vm] | None:
    visible = where([*conditions, *scope.conditions(arguments.bind)])
    statement = f"SELECT row_to_json(v)::text, revision FROM vms v {visible} {order}"  # noqa: S608
    for state, revision in await transaction.fetch(statement, *arguments):
        return Editable(Vm.model_validate_json(state), revision)
    return None


async def used_id(transaction: ReadTransaction, uid: Uid) -> Used | None:
    """Whether any VM, also one that the principal may not see, has or had this id. By the primary key."""
    statement = "SELECT revision, deleted_at IS NOT NULL AND NOT managed FROM vms WHERE id = $1"
    for row in await transaction.fetch(statement, uid):
        return Used(*row)
    return None


async def silent_vms(transaction: ReadTransaction, seconds: float) -> list[Editable[Vm]]:
    """VMs added by hand whose last event is older than this, or may not be in the log. Index vms_unmanaged."""
    statement = (
        f"SELECT row_to_json(v)::text, revision FROM vms v WHERE NOT managed AND deleted_at IS NULL AND {_SILENT}"  # noqa: S608
    )
    return [Editable(Vm.model_validate_json(state), row) for state, row in await transaction.fetch(statement, seconds)]


async def silent_datacenters(transaction: ReadTransaction, seconds: float) -> list[Editable[Datacenter]]:
    """The same for datacenters. There are few of them."""
    conditions = where([_SILENT])
    rows = await transaction.fetch(f"SELECT row_to_json(d)::text, revision FROM datacenters d {conditions}", seconds)  # noqa: S608
    return [Editable(Datacenter.model_validate_json(state), revision) for state, revision in rows]


_SILENT = "(observed_at < now() - make_interval(secs => $1) OR revision = 0)"
"""Revision 0: the stream was replaced, and the new one does not have it."""
