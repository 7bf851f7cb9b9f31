"""The object of an edit, as the principal sees it, and the revision that the edit is based on.

Each opens and closes its own transaction: none is held while an event is on its way.
"""

from summit_api.access.principal import Scope
from summit_api.edits.event_log import EditError
from summit_api.query import editable
from summit_api.query.editable import Editable
from summit_api.query.read_transaction import ReadModels
from summit_models.contract import DatacenterId, Revision, Uid
from summit_models.datacenter import Datacenter
from summit_models.subject import datacenter_subject, unmanaged_vm_subjects
from summit_models.vm import Vm
from summit_runtime.nats.append import Basis


class DatacenterNotFoundError(EditError):
    """There is no such datacenter, as far as the principal may see."""


class VmNotFoundError(EditError):
    """There is no such VM, as far as the principal may see."""


class IdInUseError(EditError):
    """Another VM has the id."""


async def datacenter(read_models: ReadModels, scope: Scope, id_: DatacenterId) -> Editable[Datacenter]:
    """Raises DatacenterNotFoundError with the original's sentence."""
    async with read_models.transaction() as transaction:
        known = await editable.datacenter(transaction, scope, id_)
    if known is None:
        raise DatacenterNotFoundError(f"datacenter {id_} not found")
    return known


async def vm(read_models: ReadModels, scope: Scope, datacenter_id: DatacenterId, uid: Uid) -> Editable[Vm]:
    """Raises VmNotFoundError or DatacenterNotFoundError with the original's sentence."""
    async with read_models.transaction() as transaction:
        known = await editable.vm(transaction, scope, datacenter_id, uid)
    if known is None:
        await datacenter(read_models, scope, datacenter_id)
        raise VmNotFoundError(f"vm {uid} not found in datacenter {datacenter_id}")
    return known


async def unused_id(read_models: ReadModels, uid: Uid) -> Basis:
    """The basis of the first event of a VM with this id. Raises IdInUseError when another VM has it."""
    async with read_models.transaction() as transaction:
        used = await editable.used_id(transaction, uid)
    if used and not used.free:
        raise IdInUseError(f"another VM has the id {uid}: ids are unique in all datacenters")
    return Basis(unmanaged_vm_subjects(uid), used.revision if used else Revision(0))


def datacenter_basis(known: Editable[Datacenter]) -> Basis:
    return Basis(datacenter_subject(known.state.id), known.revision)


def vm_basis(known: Editable[Vm]) -> Basis:
    return Basis(unmanaged_vm_subjects(known.state.id), known.revision)
