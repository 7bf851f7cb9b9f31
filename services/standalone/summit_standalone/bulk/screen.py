"""What a person sees of a bulk operation: the VMs that are under way or did not succeed, and a count of all.

Without a terminal each VM has one line, when it has ended.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from summit_standalone.bulk.course import Course
from summit_standalone.operating.act import Act
from summit_standalone.operating.screen import Lines, Screen


class Ends(Lines):
    """A thousand VMs have thousands of steps."""

    def show(self, act: Act) -> None:
        if act.has_ended:
            super().show(act)


@contextmanager
def shown(course: Course, *, quiet: bool) -> Iterator[Screen]:
    if quiet or not sys.stdout.isatty():
        yield Ends(quiet=quiet)
        return
    from rich.console import RenderableType
    from rich.text import Text

    from summit_standalone.operating.live_table import drawn, table

    def picture(height: int) -> RenderableType:
        counts = Text("" if course.has_ended else course.text)  # its end has a line of its own
        if not (acts := course.interesting()):
            return counts
        found = table(acts if course.has_ended else acts[: max(1, height - _OTHER_LINES)])
        found.caption, found.caption_style, found.caption_justify = counts, "", "left"
        return found

    with drawn(picture) as screen:
        yield screen


_OTHER_LINES = 5
"""Of a terminal: the header, the counts, which may need two lines, and the prompt."""
