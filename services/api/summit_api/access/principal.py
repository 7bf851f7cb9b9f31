"""A principal: a name for the log and the history, a role, and the part of the fleet that it is limited to."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, IntEnum
from typing import Annotated, Any

from pydantic import BeforeValidator

from summit_api.query.transaction.arguments import Bind, one_of
from summit_models.contract import DatacenterId
from summit_runtime.printable import printable

LONGEST_NAME = 200
"""Characters. An issuer may put any text into the claim with the name, and a file any text behind `name:`."""


class Limit(Enum):
    """What a scope that is not everything leaves out of an object that is about more than one part of the fleet."""

    DATACENTERS = "datacenters"
    NAMESPACES = "namespaces"
    """And perhaps datacenters: it leaves out what DATACENTERS does, and more."""


@dataclass(frozen=True)
class Scope:
    """The part of the fleet that a principal sees. `None` is all of them; an empty set is nothing.

    The rest does not exist for the principal. Every query applies the scope in SQL, so that lists, counts, history and
    the feed agree and no page is short.
    """

    datacenters: frozenset[DatacenterId] | None = None
    namespaces: frozenset[str] | None = None

    def allows(self, datacenter: DatacenterId, namespace: str | None) -> bool:
        """Whether an object in this namespace is visible. One in no namespace is not, if there is a limit to some."""
        return self.allows_datacenter(datacenter) and (self.namespaces is None or namespace in self.namespaces)

    def allows_datacenter(self, datacenter: DatacenterId) -> bool:
        return self.datacenters is None or datacenter in self.datacenters

    @property
    def limit(self) -> Limit | None:
        if self.namespaces is not None:
            return Limit.NAMESPACES
        return None if self.datacenters is None else Limit.DATACENTERS

    def conditions(
        self, bind: Bind, *, datacenter: str = "datacenter", namespace: str | None = "namespace"
    ) -> list[str]:
        """SQL conditions that the visible rows meet, none when everything is visible.

        The names are those of the columns; `namespace=None` is for a table
        of objects that are in no namespace, such as clusters.
        """
        conditions = []
        if self.datacenters is not None:
            conditions.append(one_of(datacenter, sorted(self.datacenters), bind))
        if self.namespaces is not None and namespace is not None:
            conditions.append(one_of(namespace, sorted(self.namespaces), bind))
        return conditions

    def allows_all(self, datacenters: Iterable[DatacenterId], namespaces: Iterable[str]) -> bool:
        """Whether an object about all of these places is visible. The part of what it is about would be visible with
        its count and its outcome, so all of them have to be.
        """
        return (self.datacenters is None or self.datacenters.issuperset(datacenters)) and (
            self.namespaces is None or self.namespaces.issuperset(namespaces)
        )

    def covering(self, bind: Bind, column: str = "{}") -> list[str]:
        """The same as SQL conditions over the JSON arrays `datacenters` and `namespaces`; `column` makes each of its
        name.
        """
        return [
            f"{column.format(name)} <@ to_jsonb({bind(sorted(part))}::text[])"
            for name, part in (("datacenters", self.datacenters), ("namespaces", self.namespaces))
            if part is not None
        ]

    def fingerprint(self) -> str | None:
        """The same for equal scopes, in every process; None for everything."""
        if self == EVERYTHING:
            return None
        return repr([None if part is None else sorted(part) for part in (self.datacenters, self.namespaces)])


EVERYTHING = Scope()


class Role(IntEnum):
    """The rights of a principal. Each role includes the one before it."""

    VIEWER = 1
    """Read."""
    OPERATOR = 2
    """Also act on virtual machines."""
    ADMIN = 3
    """Also edit datacenters and virtual machines without a cluster."""

    def __str__(self) -> str:
        return self.name.lower()


def _by_name(value: Any) -> Role:
    for role in Role:
        if value is role or value == str(role):
            return role
    raise ValueError(f"a role is one of {', '.join(map(str, Role))}")


RoleName = Annotated[Role, BeforeValidator(_by_name)]
"""A role as people write it."""


@dataclass(frozen=True)
class Principal:
    """The name includes its origin: `token:grafana`, `oidc:alice`, or `anonymous`."""

    name: str
    role: Role
    scope: Scope = EVERYTHING
    until: datetime | None = None
    """When its token expires. A feed ends then."""

    def __post_init__(self) -> None:
        """The name goes into the log, into answers and tickets."""
        object.__setattr__(self, "name", printable(self.name, LONGEST_NAME))

    @property
    def by(self) -> str | None:
        """The name as everybody may read it in what the principal does; None for anonymous ones."""
        return None if self.name == ANONYMOUS else self.name


ANONYMOUS = "anonymous"
