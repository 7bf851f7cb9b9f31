"""The object of an edit, as the principal sees it, and the state of the log that the edit is based on.

Functions that open a transaction close it, too: none is held while an event is on its way.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Generic, NamedTuple, TypeVar

from summit_api.access.principal import Scope
from summit_api.edits.event_log import EditError
from summit_api.query import identity
from summit_api.query.datacenters import SHOWN
from summit_api.query.transaction.arguments import Arguments, where
from summit_api.query.transaction.read_transaction import ReadModels, ReadTransaction
from summit_models.contract import ClusterName, DatacenterId, Revision, Uid
from summit_models.datacenter import Datacenter
from summit_models.subject import datacenter_subject, unmanaged_vm_subjects
from summit_models.tables import shown_by
from summit_models.vm import Vm
from summit_runtime.nats.publishing.append import Basis

T = TypeVar("T")


class Editable(NamedTuple, Generic[T]):
    state: T
    basis: Basis


class DatacenterNotFoundError(EditError):
    """There is no such datacenter, as far as the principal may see."""


class VmNotFoundError(EditError):
    """There is no such VM, as far as the principal may see. `sought`: members that an operation on it has, if known."""

    def __init__(self, detail: str, **sought: str) -> None:
        super().__init__(detail)
        self.sought = sought


class IdInUseError(EditError):
    """Another VM has the id."""


_REJECTED = """(SELECT max(d.revision) FROM dead_letters AS d, checkpoint AS c
    WHERE d.dead_lettered_at >= c.stream_created_at AND d.subject {})"""
"""The newest event under some subjects that the tables have rejected, in the present stream. It is in the log though no
row is from it, and an edit that ignores it would be refused for ever: it has changed since it was read."""
_SUBJECT_OF_VM = "LIKE 'summit.vms.%.-.-.%' AND split_part(d.subject, '.', 6) = replace({}, '.', '_')"
_SUBJECT_OF_DATACENTER = "= 'summit.datacenters.' || id"


async def datacenter(read_models: ReadModels, scope: Scope, id_: DatacenterId) -> Editable[Datacenter]:
    """Raises DatacenterNotFoundError with the original's sentence."""
    async with read_models.transaction() as transaction:
        known = await find_datacenter(transaction, scope, id_)
    if known is None:
        raise DatacenterNotFoundError(f"datacenter {id_} not found")
    return known


async def vm(
    read_models: ReadModels, scope: Scope, datacenter_id: DatacenterId, uid: Uid, cluster: Sequence[ClusterName] = ()
) -> Editable[Vm]:
    """Raises VmNotFoundError or DatacenterNotFoundError with the original's sentence, AmbiguousIdError as `find_vm`."""
    async with read_models.transaction() as transaction:
        known = await find_vm(transaction, scope, datacenter_id, uid, cluster)
    if known is None:
        await datacenter(read_models, scope, datacenter_id)
        raise VmNotFoundError(f"vm {uid} not found in datacenter {datacenter_id}")
    return known


async def unused_id(read_models: ReadModels, uid: Uid) -> Basis:
    """The basis of the first event of a VM with this id. Raises IdInUseError when any other VM has or had it.

    An id can be used again when its VM was added by hand and removed. By the primary key, in all datacenters.
    """
    statement = "SELECT revision, deleted_at IS NOT NULL AND NOT managed FROM vms WHERE id = $1"
    rejected = f"SELECT coalesce({_REJECTED.format(_SUBJECT_OF_VM.format('$1::text'))}, 0)"
    async with read_models.transaction() as transaction:
        used = await transaction.fetch(statement, uid)
        ((newest,),) = await transaction.fetch(rejected, uid)
    revision = max(newest, *(revision for revision, _ in used), Revision(0))
    if not all(is_free for _, is_free in used):
        raise IdInUseError(f"another VM has the id {uid}: ids are unique in all datacenters")
    return Basis(unmanaged_vm_subjects(uid), revision)


async def find_datacenter(transaction: ReadTransaction, scope: Scope, id_: DatacenterId) -> Editable[Datacenter] | None:
    """A datacenter that is shown, by the primary key."""
    arguments = Arguments()
    visible = scope.conditions(arguments.bind, datacenter="id", namespace=None)
    found = await _datacenters(transaction, where([f"id = {arguments.bind(id_)}", SHOWN, *visible]), *arguments)
    return next(iter(found), None)


async def find_vm(
    transaction: ReadTransaction, scope: Scope, in_: DatacenterId, uid: Uid, cluster: Sequence[ClusterName] = ()
) -> Editable[Vm] | None:
    """The living VM of that id in that datacenter, by the primary key.

    Raises AmbiguousIdError when several clusters there show the id and none of them is named.
    """
    arguments = Arguments()
    conditions = [f"id = {arguments.bind(uid)}", f"datacenter = {arguments.bind(in_)}", "deleted_at IS NULL"]
    named = identity.in_cluster(cluster, arguments.bind)
    visible = where([*conditions, *named, *scope.conditions(arguments.bind)])
    found = await _vms(transaction, visible, *arguments)
    return identity.only(uid, found, lambda vm: shown_by(vm.state), named=bool(named))


async def acted_on(
    transaction: ReadTransaction, scope: Scope, uid: Uid, cluster: Sequence[ClusterName] = ()
) -> Editable[Vm]:
    """The living VM with this id, wherever it is, by the primary key.

    Raises VmNotFoundError, and AmbiguousIdError when several clusters show the id and none of them is named.
    """
    arguments = Arguments()
    named = identity.in_cluster(cluster, arguments.bind)
    conditions = [f"id = {arguments.bind(uid)}", "deleted_at IS NULL", *named, *scope.conditions(arguments.bind)]
    found = await _vms(transaction, where(conditions), *arguments)
    known = identity.only(uid, found, lambda vm: shown_by(vm.state), named=bool(named))
    if known is None:
        raise VmNotFoundError(f"there is no VM with the id {uid!r}", vm_id=uid)
    return known


async def acted_on_by_name(transaction: ReadTransaction, scope: Scope, place: Mapping[str, str]) -> Editable[Vm]:
    """The newest living VM with these values in its columns. Index vms_by_name. Raises VmNotFoundError."""
    arguments = Arguments()
    equal = [f"{column} = {arguments.bind(value)}" for column, value in place.items()]
    visible = where(["deleted_at IS NULL", *equal, *scope.conditions(arguments.bind)])
    for known in await _vms(transaction, f"{visible} ORDER BY revision DESC LIMIT 1", *arguments):
        return known
    detail = "there is no VM {namespace}/{name} in cluster {cluster!r}".format_map(place)
    raise VmNotFoundError(
        detail, **{"vm_name" if column == "name" else column: value for column, value in place.items()}
    )


_MIGRATABLE = """(NOT managed OR status = 'running' AND live_migratable AND migration_status IS NULL
    AND cluster = ANY({fresh}) AND NOT EXISTS (
        SELECT FROM operations WHERE vm_id = vms.id AND cluster = vms.cluster AND ended_at IS NULL AND NOT dry_run
    ))"""


async def to_migrate(
    transaction: ReadTransaction, scope: Scope, fresh: frozenset[ClusterName], seed: str | None
) -> Editable[Vm] | None:
    """The first running VM by datacenter and name that can be migrated, else the first that was added by hand.

    With a seed any of them, the same one each time. One scan, since this is a rare request.
    """
    arguments = Arguments()
    migratable = _MIGRATABLE.format(fresh=arguments.bind(sorted(fresh)))
    visible = where(["deleted_at IS NULL", migratable, *scope.conditions(arguments.bind)])
    chance = "" if seed is None else f"md5({arguments.bind(seed)} || id), "
    first = f"{visible} ORDER BY (status = 'running') DESC, {chance}datacenter, name, id, shown_by LIMIT 1"
    return next(iter(await _vms(transaction, first, *arguments)), None)


async def clusters_with(
    transaction: ReadTransaction, datacenter: DatacenterId, namespace: str | None, name: str
) -> list[ClusterName]:
    """Clusters of a datacenter that have a watched VM of this name. Index vms_by_name."""
    statement = """SELECT cluster FROM vms WHERE deleted_at IS NULL AND managed
        AND datacenter = $1 AND namespace = $2 AND name = $3 ORDER BY cluster"""
    return [cluster for (cluster,) in await transaction.fetch(statement, datacenter, namespace, name)]


_SILENT = "(observed_at < $1 OR revision = 0)"
"""Revision 0: the stream was replaced, and the new one does not have it."""


async def silent_vms(transaction: ReadTransaction, since: datetime) -> list[Editable[Vm]]:
    """VMs added by hand whose last event is older than this, or may not be in the log. Index vms_unmanaged."""
    return await _vms(transaction, f"WHERE NOT managed AND deleted_at IS NULL AND {_SILENT}", since)


async def silent_datacenters(transaction: ReadTransaction, since: datetime) -> list[Editable[Datacenter]]:
    """The same for datacenters. There are few of them."""
    return await _datacenters(transaction, f"WHERE {_SILENT}", since)


async def _vms(transaction: ReadTransaction, clauses: str, *arguments: object) -> list[Editable[Vm]]:
    basis = f"greatest(revision, {_REJECTED.format(_SUBJECT_OF_VM.format('id'))})"
    rows = await transaction.fetch(f"SELECT row_to_json(vms)::text, {basis} FROM vms {clauses}", *arguments)  # noqa: S608
    vms = [(Vm.model_validate_json(state), revision) for state, revision in rows]
    return [Editable(vm, Basis(unmanaged_vm_subjects(vm.id), revision)) for vm, revision in vms]


async def _datacenters(transaction: ReadTransaction, clauses: str, *arguments: object) -> list[Editable[Datacenter]]:
    basis = f"greatest(revision, {_REJECTED.format(_SUBJECT_OF_DATACENTER)})"
    statement = f"SELECT row_to_json(datacenters)::text, {basis} FROM datacenters {clauses}"  # noqa: S608
    rows = await transaction.fetch(statement, *arguments)
    datacenters = [(Datacenter.model_validate_json(state), revision) for state, revision in rows]
    return [Editable(known, Basis(datacenter_subject(known.id), revision)) for known, revision in datacenters]
