"""Tables as kubectl prints them: upper-case headers, columns divided by spaces, no borders."""

from collections.abc import Sequence

GAP = 3
NOTHING = "<none>"
"""As kubectl prints an empty cell, so that awk still finds the columns."""


def render(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Lines of a table; None and the empty text become `<none>`."""
    lines = [list(header)] + [[NOTHING if cell in (None, "") else str(cell) for cell in row] for row in rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(_line(line, widths) for line in lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "".join(cell.ljust(width + GAP) for cell, width in zip(cells, widths, strict=True)).rstrip()
