"""The table on a terminal, drawn again and again while operations run."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from summit_standalone.operating.act import Act

_PER_SECOND = 4
"""The table also shows how long each operation has taken."""


class LiveTable:
    def __init__(self, live: Live) -> None:
        self._live = live

    def show(self, act: Act) -> None:
        """The table is drawn several times a second."""

    def notify(self, sentence: str) -> None:
        self._live.console.print(f"summit-connect: {sentence}")


@contextmanager
def drawn(picture: Callable[[int], RenderableType]) -> Iterator[LiveTable]:
    """Draw for the length of the block, and once more at its end. `picture` gets the height of the terminal."""
    console = Console(highlight=False, markup=False, emoji=False)
    with Live(console=console, get_renderable=lambda: picture(console.height), refresh_per_second=_PER_SECOND) as live:
        yield LiveTable(live)


def table(acts: Sequence[Act]) -> Table:
    """A line for each act. What the cluster says may be long: it goes on in the next line."""
    drawn = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="")
    for header in ("VM", "CLUSTER", "ACTION", "STATE", "TIME"):
        drawn.add_column(header, no_wrap=True)
    drawn.add_column("PROGRESS", overflow="fold")
    now = datetime.now(UTC)
    for act in acts:
        cells = (act.name, act.vm.get("cluster") or "", act.action, act.state, f"{act.seconds(now)}s", act.text)
        drawn.add_row(*map(Text, cells))
    return drawn
