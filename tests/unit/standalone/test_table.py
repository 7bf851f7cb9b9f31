"""Tables in kubectl's manner."""

from summit_standalone.commands.table import render


def test_columns_are_as_wide_as_their_widest_cell_and_none_is_empty() -> None:
    """Three spaces separate columns, and no line ends with spaces. An empty cell is printed, for awk."""
    assert render(("NAME", "AGE"), [("vulcan-long", ""), ("x", "12h")]) == (
        "NAME          AGE\nvulcan-long   <none>\nx             12h"
    )
