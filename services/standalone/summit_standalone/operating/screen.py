"""What a person sees while a command waits: a table with a line for each VM, or plain lines where there is no terminal.

The table also has refusals. Without one, what went wrong is on stderr, so that a script can separate it.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from summit_standalone.operating.act import Act


class Screen(Protocol):
    def show(self, act: Act) -> None:
        """Show the present state of an act that has changed."""

    def notify(self, sentence: str) -> None:
        """Show a sentence about all of them."""


@contextmanager
def shown(acts: Sequence[Act], *, quiet: bool) -> Iterator[Screen]:
    """The screen for these acts. `quiet`: only sentences about all of them, on stderr."""
    if quiet or not sys.stdout.isatty():
        yield Lines(quiet=quiet)
        return
    from summit_standalone.operating.live_table import drawn, table

    with drawn(lambda _: table(acts)) as screen:
        yield screen


class Lines:
    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet

    def show(self, act: Act) -> None:
        if self._quiet:
            return
        failed = act.has_ended and not act.has_succeeded
        stream = sys.stderr if failed else sys.stdout
        stream.write(f"{'summit-connect: ' if failed else ''}{line(act)}\n")
        stream.flush()

    def notify(self, sentence: str) -> None:
        sys.stderr.write(f"summit-connect: {sentence}\n")
        sys.stderr.flush()


def line(act: Act) -> str:
    """For example `prod/web (vulcan): start running: Scheduling on worker-3`."""
    where = f" ({act.vm['cluster']})" if act.vm.get("cluster") else ""
    words = f"{act.name}{where}: {act.action} {act.state}"
    if act.operation and act.state == "pending":
        return f"{words}, operation {act.operation['id']}"
    return f"{words}: {act.text}" if act.text else words
