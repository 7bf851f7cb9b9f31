"""Filters of GET /api/v1/vms: repeat a parameter for "or", combine parameters for "and"."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement

from summit_models.contract import ClusterName, DatacenterId
from summit_models.tables import vms
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

    def conditions(self) -> list[ColumnElement[bool]]:
        """One SQL condition per given parameter; each has an index in the order of the pages."""
        wanted: dict[ColumnElement[Any], Sequence[str]] = {
            vms.c.datacenter: self.datacenter,
            vms.c.cluster: self.cluster,
            vms.c.namespace: self.namespace,
            vms.c.status: self.status,
        }
        return [column.in_(values) for column, values in wanted.items() if values]


class VmPageQuery(VmFilters):
    """Which VMs, and which page of them."""

    limit: int = Field(default=DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="Most items of one page")
    cursor: str | None = Field(default=None, max_length=2000, description="`next` of the page before")
