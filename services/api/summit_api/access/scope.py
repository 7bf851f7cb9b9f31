"""The part of the fleet that a principal sees: datacenters and namespaces. The rest does not exist for it.

Applied in SQL, by every query, so that lists, counts, history and the feed agree and no page is short.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from summit_models.contract import DatacenterId


@dataclass(frozen=True)
class Scope:
    """`None` is all of them; an empty set is nothing."""

    datacenters: frozenset[DatacenterId] | None = None
    namespaces: frozenset[str] | None = None

    def allows(self, datacenter: DatacenterId, namespace: str | None) -> bool:
        """Whether an object in this namespace is visible. One in no namespace is not, if there is a limit to some."""
        return self.allows_datacenter(datacenter) and (self.namespaces is None or namespace in self.namespaces)

    def allows_datacenter(self, datacenter: DatacenterId) -> bool:
        return self.datacenters is None or datacenter in self.datacenters

    def conditions(
        self, bind: Callable[[str], str], *, datacenter: str = "datacenter", namespace: str | None = "namespace"
    ) -> list[str]:
        """SQL conditions that the visible rows meet, none when everything is visible.

        `bind` returns the placeholder of a value. The names are those of the columns; `namespace=None` is for a table
        of objects that are in no namespace, such as clusters.
        """
        conditions = []
        if self.datacenters is not None:
            conditions.append(_one_of(datacenter, self.datacenters, bind))
        if self.namespaces is not None and namespace is not None:
            conditions.append(_one_of(namespace, self.namespaces, bind))
        return conditions

    def fingerprint(self) -> str | None:
        """The same for equal scopes, in every process; None for everything."""
        if self == EVERYTHING:
            return None
        return repr([None if part is None else sorted(part) for part in (self.datacenters, self.namespaces)])


EVERYTHING = Scope()


def _one_of(column: str, values: Iterable[str], bind: Callable[[str], str]) -> str:
    """One placeholder for each value: `= ANY($1)` would keep Postgres from reading an index in order."""
    placeholders = ", ".join(bind(value) for value in sorted(values))
    return f"{column} IN ({placeholders})" if placeholders else "FALSE"
