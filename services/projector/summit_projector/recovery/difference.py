"""The result of a rebuild: rows that were missing, surplus or wrong in each table, and rows too old for the stream."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import NamedTuple

EXAMPLES = 10
"""Rows that are named for each table; all are counted."""


class Finding(NamedTuple):
    """A row that differed from the replayed one. `columns` are those that were wrong."""

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
    """After the rebuild."""
    missing: int = 0
    surplus: int = 0
    wrong: int = 0
    kept: int = 0
    """Rows that stayed although the stream does not have them, or has them no more."""
    examples: list[Finding] = field(default_factory=list)

    @property
    def found(self) -> int:
        return self.missing + self.surplus + self.wrong

    def __add__(self, more: "Difference") -> "Difference":
        """The sum for two parts of one table."""
        rows, missing, wrong = self.rows + more.rows, self.missing + more.missing, self.wrong + more.wrong
        return Difference(self.table, rows, missing=missing, wrong=wrong)

    def __str__(self) -> str:
        found = f"{self.missing} missing, {self.surplus} surplus, {self.wrong} wrong" if self.found else "all right"
        kept = f"; the stream does not have {self.kept} of them" if self.kept else ""
        return f"{self.table}: {self.rows} rows, {found}{kept}"


@dataclass(frozen=True)
class Rebuilt:
    """A finished rebuild. All differences have been corrected."""

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
        """A line for each table, and one for each of the first rows that differed."""
        span = f"revisions {self.first_revision} to {self.revision}"
        verdict = f"{self.found} rows were corrected" if self.found else "nothing differed"
        examples = [f"  {table.table} {finding}" for table in self.tables for finding in table.examples]
        lines = [
            f"rebuilt from the stream, {span}, in {self.seconds:.1f} s: {verdict}",
            *map(str, self.tables),
            *examples,
        ]
        return "\n".join(lines)
