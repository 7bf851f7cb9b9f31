"""Each VM as series for Prometheus: Postgres writes the lines, so that a hundred thousand VMs cost this process little.

One scan of the table for each family, since the format wants the lines of a family together, all in one transaction.
Prometheus text format 0.0.4. JSON escapes what the format escapes, and what it escapes beyond that stays as it is.
"""

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import dataclass

from summit_api.access.principal import Scope
from summit_api.query.transaction.arguments import Arguments, Bind, where
from summit_api.query.transaction.read_transaction import ReadTransaction

PIECE_LINES = 500
"""Read and sent at once: about as much as the server buffers for one connection."""

LABEL_PREFIX = "label_"
"""As kube-state-metrics names labels of objects."""


@dataclass(frozen=True)
class Family:
    """Series with one name, at most one for each VM. `value` is SQL; a VM where it is null has no series."""

    name: str
    help: str
    labels: Mapping[str, str]
    """Labels, and the columns that they show."""
    value: str = "1"


_IDENTITY = {"cluster": "cluster", "uid": "id"}
_PLACE = {"datacenter": "datacenter", "namespace": "namespace", "name": "name", "node": "node_name"}
_INFO = Family(
    "summit_vm_info",
    "Always 1, for each VM; its labels name it and say where it is",
    {**_IDENTITY, **_PLACE, "status": "status"},
)
_FAMILIES = (
    Family("summit_vm_status", "Always 1, for the status that the VM has", {**_IDENTITY, "status": "status"}),
    Family("summit_vm_cpu_cores", "Virtual CPUs of the VM", _IDENTITY, "cpu"),
    Family("summit_vm_memory_bytes", "Memory of the guest", _IDENTITY, "memory_bytes"),
    Family("summit_vm_disk_bytes", "Provisioned persistent disks of the VM", _IDENTITY, "disk_bytes"),
)
SERIES_OF_A_VM = len(_FAMILIES) + 1
FAMILIES = (_INFO, *_FAMILIES)
LEFT_OUT = "summit_inventory_left_out_vms"
LEFT_OUT_HELP = "VMs without series; above 0: raise API_INVENTORY_SERIES, which leaves no room for them"


@dataclass(frozen=True)
class InventorySeries:
    """How many series there may be, 0: none; and which labels of VMs they have."""

    limit: int = 0
    labels: Sequence[str] = ()

    @property
    def vms(self) -> int:
        return self.limit // SERIES_OF_A_VM


async def exposition(transaction: ReadTransaction, scope: Scope, series: InventorySeries) -> AsyncGenerator[bytes]:
    """The text, piece by piece. Beyond the limit the VMs with the greatest ids are left out, always the same ones."""
    count = await _count(transaction, scope)
    yield _head(LEFT_OUT, LEFT_OUT_HELP) + f"{LEFT_OUT} {max(count - series.vms, 0)}\n".encode()
    for family in FAMILIES:
        yield _head(family.name, family.help)
        arguments = Arguments()
        statement = _statement(family, scope, series, arguments.bind)
        lines = await transaction.driver.cursor(statement, *arguments)
        while piece := await lines.fetch(PIECE_LINES):
            yield "".join([line for (line,) in piece]).encode()


async def _count(transaction: ReadTransaction, scope: Scope) -> int:
    arguments = Arguments()
    ((count,),) = await transaction.fetch(f"SELECT count(*) FROM vms {_living(scope, arguments.bind)}", *arguments)  # noqa: S608
    return int(count)


def _statement(family: Family, scope: Scope, series: InventorySeries, bind: Bind) -> str:
    """One line for each VM. Index: the primary key, for which VMs are beyond the limit."""
    labels = dict(_labels(family, series, bind))
    texts = " || ',' || ".join(
        f"'{name}=' || coalesce(to_json({column})::text, '\"\"')" for name, column in labels.items()
    )
    line = f"'{family.name}{{' || {texts} || '}} ' || {family.value} || E'\\n'"
    shown = f"SELECT * FROM vms {_living(scope, bind)} ORDER BY id, shown_by LIMIT {bind(series.vms)}"  # noqa: S608
    return f"SELECT {line} FROM ({shown}) AS vms WHERE {family.value} IS NOT NULL"  # noqa: S608


def _labels(family: Family, series: InventorySeries, bind: Bind) -> Iterator[tuple[str, str]]:
    yield from family.labels.items()
    if family is _INFO:
        for label in series.labels:
            yield label_name(label), f"labels ->> {bind(label)}"


def label_name(label: str) -> str:
    """The label of Prometheus for a label of VMs: `label_app_kubernetes_io_name` for `app.kubernetes.io/name`."""
    return LABEL_PREFIX + "".join(c if c.isascii() and c.isalnum() else "_" for c in label)


def _living(scope: Scope, bind: Bind) -> str:
    return where(["deleted_at IS NULL", *scope.conditions(bind)])


def _head(name: str, help_: str) -> bytes:
    return f"# HELP {name} {help_}\n# TYPE {name} gauge\n".encode()
