"""What is asked of a list beyond which rows: their order, how many, which members, and as of when."""

import re
from datetime import UTC, datetime
from functools import cached_property
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field

from summit_api.query import cursor, order
from summit_api.query.filters import MAX_VALUES, Parameters, VmFilters
from summit_api.query.order import ID, Column, Order
from summit_api.shapes.inventory import VmItem

MAX_LIMIT = 500
DEFAULT_LIMIT = 100

MEMBERS = {field.alias or name: name for name, field in VmItem.model_fields.items()}
"""Members of an item, and their names in the model."""

VM_COLUMNS = {
    "name": Column("name", nullable=False),
    "namespace": Column("namespace"),
    "cluster": Column("cluster"),
    "datacenter": Column("datacenter"),
    "status": Column("status"),
    "nodeName": Column("node_name"),
    "cpu": Column("cpu", int),
    "memory": Column("memory", int),
    "disk": Column("disk", int),
    "createdAt": Column("created_at", datetime),
    "id": ID,
}
"""What VMs can be sorted by; each has an index that ends with (name, id)."""

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")


def _vm_sort(text: str) -> str:
    vm_order(text)
    return text


def vm_order(text: str) -> Order:
    return order.parse(text, VM_COLUMNS, then=("name",))


def _members(text: str) -> str:
    for name in filter(None, map(str.strip, text.split(","))):
        if name not in MEMBERS:
            raise ValueError(f"there is no member {name!r}; members are {', '.join(MEMBERS)}")
    return text


def _rfc_3339(value: object) -> object:
    """In a query string a `+` that was not escaped is a space: meant is the offset."""
    text = re.sub(r" (?=\d\d:\d\d$)", "+", str(value))
    if not _RFC_3339.fullmatch(text):
        raise ValueError("must be a time as RFC 3339 has it, with its offset: 2026-11-23T12:00:00Z")
    return text


def _in_utc(time: datetime | None) -> datetime | None:
    try:
        return time and time.astimezone(UTC)
    except OverflowError:
        raise ValueError("in UTC that is in no year from 1 to 9999") from None


Past = Annotated[
    AwareDatetime | None,
    BeforeValidator(_rfc_3339),
    AfterValidator(_in_utc),
    Field(
        description="As it was then. Before a VM's first known event and after its end it is absent",
        examples=["2026-11-23T12:00:00Z"],
    ),
]


class MomentQuery(Parameters):
    """As of when."""

    at: Past = None


class HistoryQuery(Parameters):
    """Which page of a VM's history."""

    limit: int = Field(default=DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="Most events of one page")
    cursor: str | None = Field(default=None, max_length=cursor.MAX_LENGTH, description="`next` of the page before")


class VmPageQuery(VmFilters):
    """Which VMs, and which page of them."""

    sort: Annotated[str, AfterValidator(_vm_sort)] = Field(
        default="name",
        max_length=MAX_VALUES,
        description=f"Members to sort by, `-` for the greatest first: of {', '.join(VM_COLUMNS)}. Unknown comes last, "
        "equals are by name and id",
        examples=["-memory,name"],
    )
    limit: int = Field(default=DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="Most items of one page")
    cursor: str | None = Field(
        default=None,
        max_length=cursor.MAX_LENGTH,
        description="`next` of the page before, with the same sort and filters",
    )
    fields: list[Annotated[str, AfterValidator(_members)]] = Field(
        default=[],
        max_length=MAX_VALUES,
        description="Members wanted of each item, joined by `,`; all without it. `id` is always there",
        examples=[["name,status,nodeName"]],
    )
    count: bool = Field(default=False, description="Also count all that match: member `count`")
    at: Past = None

    @cached_property
    def order(self) -> Order:
        return vm_order(self.sort)

    @cached_property
    def members(self) -> tuple[str, ...]:
        """The wanted members by their names in the model, in its order."""
        wanted = {MEMBERS[name] for text in self.fields for name in filter(None, map(str.strip, text.split(",")))}
        return tuple(name for name in MEMBERS.values() if not wanted or name in wanted or name == "id")
