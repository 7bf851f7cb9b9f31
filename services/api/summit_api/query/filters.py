"""Filters of GET /api/v1/vms: repeat a parameter for "or", combine parameters for "and".

Each is said twice, side by side: in SQL for lists, and of one VM for the live feed. A test holds them to agree.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Annotated, Protocol

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from summit_api.query import search, selector
from summit_api.query.search import Searchable
from summit_models.contract import ClusterName, DatacenterId
from summit_models.vm import VmStatus

MAX_VALUES = 100
"""Of one parameter: more is a mistake, and each makes the query dearer."""
_MAX_SELECTORS = 20
_MAX_TEXT = 1000

WantedRevision = Annotated[
    int | None,
    Field(
        ge=0,
        lt=1 << 63,
        description="Wait up to 5 s until this revision is applied, else 409: reads what was just written",
    ),
]


def storable(text: str) -> str:
    if "\0" in text:
        raise ValueError("the character NUL is in nothing that is known here")
    return text


Storable = Annotated[str, AfterValidator(storable)]
"""For a part of a path."""


class OnlyThese(BaseModel):
    """Query parameters. What is not named is refused: a misspelt filter would answer with everything, and who asks
    for a `dryrun` does not want the real thing.
    """

    model_config = ConfigDict(extra="forbid")


class Parameters(OnlyThese):
    """Query parameters of a read."""

    revision: WantedRevision = None
    """Named here since it would be refused otherwise; `deps.reading` waits for it."""

    @field_validator("*", mode="after")
    @classmethod
    def _storable(cls, value: object) -> object:
        """Refused here, where the parameter has a name: Postgres would refuse it too, in the middle of a feed even."""
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str):
                storable(text)
        return value


class Filterable(Searchable, Protocol):
    """What filters look at in a VM."""

    @property
    def datacenter(self) -> DatacenterId: ...
    @property
    def cluster(self) -> ClusterName | None: ...
    @property
    def status(self) -> str: ...
    @property
    def managed(self) -> bool: ...
    @property
    def labels(self) -> dict[str, str]: ...
    @property
    def problems(self) -> Sequence[str]: ...


def _selector(text: str) -> str:
    selector.parse(text)
    return text


Selector = Annotated[str, Field(max_length=_MAX_TEXT), AfterValidator(_selector)]
Text = Annotated[str, Field(max_length=_MAX_TEXT)]

_COLUMNS = {
    "datacenter": "datacenter",
    "cluster": "cluster",
    "namespace": "namespace",
    "name": "name",
    "status": "status",
    "node": "node_name",
}
"""Parameters that are compared, and their columns. Each has an index in the order of pages."""


class VmFilters(Parameters):
    """Which VMs."""

    datacenter: list[DatacenterId] = Field(default=[], max_length=MAX_VALUES, description="Datacenter id")
    cluster: list[ClusterName] = Field(default=[], max_length=MAX_VALUES, description="Cluster name")
    namespace: list[str] = Field(default=[], max_length=MAX_VALUES, description="Namespace")
    name: list[str] = Field(default=[], max_length=MAX_VALUES, description="Exact name; `q` finds parts of names")
    status: list[VmStatus] = Field(default=[], max_length=MAX_VALUES, description="Normalized status")
    node: list[str] = Field(default=[], max_length=MAX_VALUES, description="Name of the node it runs on")
    managed: bool | None = Field(default=None, description="true: watched in a cluster; false: added by hand")
    problems: bool | None = Field(default=None, description="true: something of it could not be read, see `problems`")
    label: list[Selector] = Field(
        default=[],
        max_length=_MAX_SELECTORS,
        description="Label selector as in kubectl: `app=web`, `app!=web`, `app in (a,b)`, `app notin (a,b)`, `app`, "
        "`!app`, joined by `,` for and",
        examples=[["app=web,tier!=db"]],
    )
    q: list[Text] = Field(
        default=[],
        max_length=_MAX_SELECTORS,
        description="Free text over name, namespace, node, addresses and guest OS, in any case. All its words are "
        "wanted; each is found where a part of a value begins with it: `db-01` in `erp-db-01`, `10.131` in an address",
        examples=[["erp 10.131"]],
    )

    def wanted(self) -> Iterator[tuple[str, Sequence[str]]]:
        """Each given parameter's column and the values it may have."""
        for parameter, column in _COLUMNS.items():
            if values := getattr(self, parameter):
                yield column, values

    def conditions(self, bind: Callable[[object], str], *, indexed: bool = True) -> list[str]:
        """SQL conditions that the wanted rows of `vms` meet; `bind` takes a value and gives its placeholder.

        One placeholder for each value: `= ANY($1)` would keep Postgres from reading an index in order. Without
        `indexed` they hold for rows that only look like those of `vms`.
        """
        conditions = [f"{column} IN ({', '.join(map(bind, values))})" for column, values in self.wanted()]
        if self.managed is not None:
            conditions.append("managed" if self.managed else "NOT managed")
        if self.problems is not None:
            conditions.append("problems <> '[]'" if self.problems else "problems = '[]'")
        if self._selectors:
            conditions.append(selector.condition(self._selectors, bind, indexed=indexed))
        if self._texts:
            conditions.append(search.condition(self._texts, bind, indexed=indexed))
        return conditions

    def matches(self, vm: Filterable) -> bool:
        """Whether a living VM meets the same conditions."""
        return (
            all(getattr(vm, column) in values for column, values in self.wanted())
            and (self.managed is None or vm.managed is self.managed)
            and (self.problems is None or bool(vm.problems) is self.problems)
            and (not self._selectors or selector.matches(self._selectors, vm.labels))
            and (not self._texts or search.matches(self._texts, vm))
        )

    def fingerprint(self) -> list[tuple[str, object]]:
        """Equal for filters that select the same VMs for the same reasons: a cursor belongs to it."""
        given = {name: getattr(self, name) for name in VmFilters.model_fields if name != "revision"}
        return [(name, sorted(v) if isinstance(v, list) else v) for name, v in given.items() if v not in (None, [])]

    @cached_property
    def _selectors(self) -> list[selector.Selector]:
        return [selector.parse(text) for text in self.label]

    @cached_property
    def _texts(self) -> list[str]:
        return [text for text in self.q if text.strip()]
