"""Filters of lists: repeat a parameter for "or", combine parameters for "and".

A filter is declared once, as a field of a `Filters` model. The field is the parameter and its documentation. The
`Filter` in its annotation states what the parameter selects, twice and side by side: in SQL for lists and `?at=`, and
as a predicate over one state in JSON for the live feed. `tests/integration/api/test_filters.py` asks all of them for
each filter.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, partial
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from summit_api.query.parameters import MAX_VALUES, Parameters, checked
from summit_api.query.selection import search, selector
from summit_api.query.times import Time
from summit_api.query.transaction import arguments
from summit_api.query.transaction.arguments import Bind
from summit_models.cluster import ClusterHealth, ConnectionState
from summit_models.codec import default_of
from summit_models.contract import ClusterName, Contract, DatacenterId
from summit_models.vm import Vm, VmStatus

Json = Mapping[str, Any]
"""A state with the members that events and lists have."""

_MAX_SELECTORS = 20
_MAX_TEXT = 1000


@dataclass(frozen=True, kw_only=True)
class Filter:
    """The objects that a parameter selects. Each function takes the value of the parameter."""

    condition: Callable[[Any, Bind], str]
    """SQL over the columns of the table. It also holds for rows that only look like those of the table (`?at=`)."""
    matches: Callable[[Any, Json], bool]
    """The same of one state."""
    indexed: Callable[[Any, Bind], str] | None = None
    """The same in SQL through a table that only has entries for rows of `vms`, where that is faster."""


def several(description: str, **more: Any) -> Any:
    """A field for a parameter that can be repeated."""
    return Field(default=[], max_length=MAX_VALUES, description=description, **more)


class Filters(Parameters):
    """The filters of a list."""

    def conditions(self, bind: Bind, *, indexed: bool = True) -> list[str]:
        """SQL conditions that the wanted rows meet. Without `indexed` they hold for rows of any table of that shape."""
        return [
            ((filter_.indexed if indexed else None) or filter_.condition)(value, bind)
            for filter_, value in self._given.values()
        ]

    def matches(self, state: Json) -> bool:
        """Whether a living object with this state meets the same conditions."""
        return all(filter_.matches(value, state) for filter_, value in self._given.values())

    def fingerprint(self) -> list[tuple[str, object]]:
        """Equal for filters that select the same objects for the same reasons: a cursor belongs to it."""
        return [(name, sorted(v) if isinstance(v, list) else v) for name, (_, v) in self._given.items()]

    @classmethod
    def declared(cls) -> Mapping[str, Filter]:
        """Each filter by the name of its field."""
        fields = cls.model_fields.items()
        return {name: found for name, field in fields for found in field.metadata if isinstance(found, Filter)}

    @cached_property
    def _given(self) -> Mapping[str, tuple[Filter, Any]]:
        values = ((name, filter_, getattr(self, name)) for name, filter_ in self.declared().items())
        return {name: (filter_, value) for name, filter_, value in values if value not in (None, "", [])}


def one_of(column: str, model: type[Contract] = Vm) -> Filter:
    """The column has one of the values. Needs an index of the column in the order of pages."""
    value_of = member(column, model)
    return Filter(
        condition=lambda values, bind: arguments.one_of(column, values, bind),
        matches=lambda values, state: value_of(state) in values,
    )


def is_so(column: str, true: str, false: str, *, model: type[Contract] = Vm) -> Filter:
    """The column is true, or has something in it, by these two conditions in SQL. Each needs an index with it."""
    value_of = member(column, model)
    return Filter(
        condition=lambda wanted, _: true if wanted else false,
        matches=lambda wanted, state: bool(value_of(state)) is wanted,
    )


def member(column: str, model: type[Contract] = Vm) -> Callable[[Json], Any]:
    """Reads the member that belongs to a column, or its default where the state does not have it."""
    field = model.model_fields[column]
    name, default = field.alias or column, default_of(field)
    return lambda state: state.get(name, default)


_Selector = Annotated[str, Field(max_length=_MAX_TEXT), checked(selector.parse)]
_Text = Annotated[str, Field(max_length=_MAX_TEXT)]


def _without_blanks(texts: list[str]) -> list[str]:
    """A search field that is left empty asks for nothing."""
    return [text for text in texts if text.strip()]


_labels = member("labels")
_LABEL = Filter(
    condition=lambda texts, bind: selector.condition(list(map(selector.parse, texts)), bind),
    indexed=lambda texts, bind: selector.indexed_condition(list(map(selector.parse, texts)), bind),
    matches=lambda texts, state: selector.matches(list(map(selector.parse, texts)), _labels(state)),
)
_Q = Filter(condition=search.condition, indexed=search.indexed_condition, matches=search.matches)


class VmFilters(Filters):
    """Which VMs."""

    datacenter: Annotated[list[DatacenterId], one_of("datacenter")] = several("Id of the datacenter")
    cluster: Annotated[list[ClusterName], one_of("cluster")] = several("Name of the cluster")
    namespace: Annotated[list[str], one_of("namespace")] = several("Namespace")
    name: Annotated[list[str], one_of("name")] = several("Exact name. `q` finds parts of names")
    status: Annotated[list[VmStatus], one_of("status")] = several("Normalized status")
    node: Annotated[list[str], one_of("node_name")] = several("Name of the node that the VM runs on")
    managed: Annotated[bool | None, is_so("managed", "managed", "NOT managed")] = Field(
        default=None, description="true: VMs that are watched in a cluster; false: VMs that were added by hand"
    )
    problems: Annotated[bool | None, is_so("problems", "problems <> '[]'", "problems = '[]'")] = Field(
        default=None, description="true: VMs with values that could not be read; the member `problems` has the reasons"
    )
    label: Annotated[list[_Selector], _LABEL] = Field(
        default=[],
        max_length=_MAX_SELECTORS,
        description="Label selector as in kubectl: `app=web`, `app!=web`, `app in (a,b)`, `app notin (a,b)`, `app`, "
        "`!app`; `,` between two of them means and",
        examples=[["app=web,tier!=db"]],
    )
    q: Annotated[list[_Text], AfterValidator(_without_blanks), _Q] = Field(
        default=[],
        max_length=_MAX_SELECTORS,
        description="Free text over name, namespace, node, addresses and guest OS, in any case. A VM matches when it "
        "has all words of the text. A word is found where a part of a value begins with it: `db-01` in `erp-db-01`, "
        "`10.131` in an address",
        examples=[["erp 10.131"]],
    )


_of_cluster = partial(one_of, model=ClusterHealth)
ClusterStates = list[ConnectionState]
CLUSTER_STATES = several("State of the connection as it is now: `stale` if no watcher reports any longer")
"""The parameter of the list of clusters, which a feed has beside those of VMs."""


class ClusterFilters(Filters):
    """Which clusters. Their states are known when an answer is made, so the list is filtered then, as the feed is."""

    datacenter: Annotated[list[DatacenterId], _of_cluster("datacenter")] = several("Id of the datacenter")
    cluster: Annotated[list[ClusterName], _of_cluster("name")] = several("Name of the cluster")
    state: Annotated[ClusterStates, _of_cluster("state")] = CLUSTER_STATES


RequestedSince = Annotated[
    Time,
    Filter(
        condition=lambda since, bind: f"requested_at >= {bind(since)}",
        matches=lambda since, state: datetime.fromisoformat(state["requestedAt"]) >= since,
    ),
    Field(description="Only operations that were asked for at or after this time"),
]
"""A parameter of lists of operations."""
