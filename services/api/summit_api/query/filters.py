"""Filters of GET /api/v1/vms: repeat a parameter for "or", combine parameters for "and"."""

from collections.abc import Iterator, Sequence

from pydantic import BaseModel, ConfigDict, Field

from summit_models.contract import ClusterName, DatacenterId
from summit_models.vm import VmStatus

MAX_LIMIT = 500
DEFAULT_LIMIT = 100

_MAX_VALUES = 100
"""Of one parameter: more is a mistake, and each makes the query dearer."""


class VmFilters(BaseModel):
    """Which VMs."""

    model_config = ConfigDict(extra="forbid")  # a misspelt filter would answer with everything

    datacenter: list[DatacenterId] = Field(default=[], max_length=_MAX_VALUES, description="Datacenter id")
    cluster: list[ClusterName] = Field(default=[], max_length=_MAX_VALUES, description="Cluster name")
    namespace: list[str] = Field(default=[], max_length=_MAX_VALUES, description="Namespace")
    status: list[VmStatus] = Field(default=[], max_length=_MAX_VALUES, description="Normalized status")

    def wanted(self) -> Iterator[tuple[str, Sequence[str]]]:
        """Each given parameter's column and the values it may have. Every column has an index in the order of pages."""
        for column in ("datacenter", "cluster", "namespace", "status"):
            if values := getattr(self, column):
                yield column, values


class VmPageQuery(VmFilters):
    """Which VMs, and which page of them."""

    limit: int = Field(default=DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="Most items of one page")
    cursor: str | None = Field(default=None, max_length=2000, description="`next` of the page before")
