"""What a rebuild found: in which tables rows were missing, surplus or wrong, and what the log is too young to judge."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import NamedTuple

EXAMPLES = 10
"""Rows that are named for each table; all of them are counted."""


class Finding(NamedTuple):
    """A row that was not what the log says. `columns` are those that were wrong."""

    key: str
    kind: str
    """`missing`, `surplus` or `wrong`."""
    columns: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.key} was {self.kind}" + (f": {', '.join(self.columns)}" if self.columns else "")


@dataclass
class Difference:
    """One table before and after."""

    table: str
    rows: int
    """As rebuilt."""
    missing: int = 0
    surplus: int = 0
    wrong: int = 0
    kept: int = 0
    """Rows of which the log does not tell, any more or at all, and which therefore stayed."""
    examples: list[Finding] = field(default_factory=list)

    @property
    def found(self) -> int:
        return self.missing + self.surplus + self.wrong

    def __add__(self, more: "Difference") -> "Difference":
        """Of two parts of one table."""
        rows, missing, wrong = self.rows + more.rows, self.missing + more.missing, self.wrong + more.wrong
        return Difference(self.table, rows, missing=missing, wrong=wrong)

    def __str__(self) -> str:
        found = f"{self.missing} missing, {self.surplus} surplus, {self.wrong} wrong" if self.found else "all right"
        kept = f"; {self.kept} of them the log does not tell of" if self.kept else ""
        return f"{self.table}: {self.rows} rows, {found}{kept}"


@dataclass(frozen=True)
class Rebuilt:
    """A finished rebuild. All differences have been put right."""

    first_revision: int
    revision: int
    seconds: float
    tables: Sequence[Difference]

    @property
    def found(self) -> int:
        return sum(table.found for table in self.tables)

    def as_json(self) -> str:
        content = {"found": self.found, "firstRevision": self.first_revision, "revision": self.revision}
        tables = [asdict(table) for table in self.tables]
        return json.dumps({**content, "seconds": round(self.seconds, 3), "tables": tables}, indent=2)

    def as_text(self) -> str:
        """A line for each table, and one for each of the first rows that were not what the log says."""
        span = f"revisions {self.first_revision} to {self.revision}"
        verdict = f"{self.found} rows were put right" if self.found else "nothing differed"
        examples = [f"  {table.table} {finding}" for table in self.tables for finding in table.examples]
        lines = [f"rebuilt from the log, {span}, in {self.seconds:.1f} s: {verdict}", *map(str, self.tables), *examples]
        return "\n".join(lines)
