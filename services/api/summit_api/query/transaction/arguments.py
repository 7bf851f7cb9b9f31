"""The arguments of a statement that is put together from conditions, each with its placeholder."""

from collections.abc import Callable, Iterable

Bind = Callable[[object], str]
"""Takes a value and returns its placeholder."""


class Arguments(list[object]):
    def bind(self, value: object) -> str:
        self.append(value)
        return f"${len(self)}"


def one_of(column: str, values: Iterable[object], bind: Bind) -> str:
    """One placeholder for each value: `= ANY($1)` would keep Postgres from reading an index in order."""
    placeholders = ", ".join(map(bind, values))
    return f"{column} IN ({placeholders})" if placeholders else "FALSE"


def where(conditions: list[str]) -> str:
    """The clause that requires all conditions; nothing for none."""
    return f"WHERE {' AND '.join(conditions)}" if conditions else ""
