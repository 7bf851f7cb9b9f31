"""Filters of GET /api/v1/vms: repeat a parameter for "or", combine parameters for "and".

Each is said twice, side by side: in SQL for lists, and of one VM for the live feed. A test holds them to agree.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Protocol

from pydantic import BaseModel, ConfigDict, Field

from summit_models.contract import ClusterName, DatacenterId
from summit_models.vm import VmStatus

MAX_LIMIT = 500
DEFAULT_LIMIT = 100

_MAX_VALUES = 100
"""Of one parameter: more is a mistake, and each makes the query dearer."""

WantedRevision = Annotated[
    int | None,
    Field(
        ge=0,
        lt=1 << 63,
        description="Wait up to 5 s until this revision is applied, else 409: reads what was just written",
    ),
]


class Parameters(BaseModel):
    """Query parameters of a read. What is not named is refused: a misspelt filter would answer with everything."""

    model_config = ConfigDict(extra="forbid")

    revision: WantedRevision = None
    """Named here since it would be refused otherwise; `deps.reading` waits for it."""


class Filterable(Protocol):
    """What filters look at in a VM."""

    @property
    def datacenter(self) -> DatacenterId: ...
    @property
    def cluster(self) -> ClusterName | None: ...
    @property
    def namespace(self) -> str | None: ...
    @property
    def status(self) -> str: ...


class VmFilters(Parameters):
    """Which VMs."""

    datacenter: list[DatacenterId] = Field(default=[], max_length=_MAX_VALUES, description="Datacenter id")
    cluster: list[ClusterName] = Field(default=[], max_length=_MAX_VALUES, description="Cluster name")
    namespace: list[str] = Field(default=[], max_length=_MAX_VALUES, description="Namespace")
    status: list[VmStatus] = Field(default=[], max_length=_MAX_VALUES, description="Normalized status")

    def wanted(self) -> Iterator[tuple[str, Sequence[str]]]:
        """Each given parameter's column and the values it may have. Every column has an index in the order of pages."""
        for column in ("datacenter", "cluster", "namespace", "status"):
            if values := getattr(self, column):
                yield column, values

    def conditions(self, bind: Callable[[str], str]) -> list[str]:
        """SQL conditions that the wanted rows of `vms` meet; `bind` takes a value and gives its placeholder.

        One placeholder for each value: `= ANY($1)` would keep Postgres from reading an index in order.
        """
        return [f"{column} IN ({', '.join(map(bind, values))})" for column, values in self.wanted()]

    def matches(self, vm: Filterable) -> bool:
        """Whether a living VM meets the same conditions."""
        return all(getattr(vm, column) in values for column, values in self.wanted())


class VmPageQuery(VmFilters):
    """Which VMs, and which page of them."""

    limit: int = Field(default=DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="Most items of one page")
    cursor: str | None = Field(default=None, max_length=2000, description="`next` of the page before")
