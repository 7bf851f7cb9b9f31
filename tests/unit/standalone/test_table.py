"""Tables in kubectl's manner."""

from summit_standalone.commands.table import render


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    """Three spaces separate columns, and no line ends with spaces."""
    assert render(("NAME", "AGE"), [("vulcan-long", "5d"), ("x", "12h")]) == (
        "NAME          AGE\nvulcan-long   5d\nx             12h"
    )


def test_an_empty_cell_keeps_its_column() -> None:
    """Awk counts words: nothing is a word too."""
    assert render(("A", "B"), [(None, 0), ("", "y")]).splitlines()[1:] == ["<none>   0", "<none>   y"]
