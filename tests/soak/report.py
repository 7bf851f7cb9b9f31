"""The output of a soak while it runs, and at its end."""

import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence

from soak.part import Size

_START = time.monotonic()


def show(line: str) -> None:
    """One line, with the seconds since the beginning."""
    sys.stdout.write(f"[{time.monotonic() - _START:6.1f}] {line}\n")
    sys.stdout.flush()


def acts_table(done: Counter[str]) -> list[str]:
    """How often each act happened, three to a line."""
    cells = [f"{count:4d} x {name:<30}" for name, count in sorted(done.items())]
    return ["".join(cells[n : n + 3]).rstrip() for n in range(0, len(cells), 3)]


def sizes_table(before: Mapping[str, Size], after: Mapping[str, Size], starts: Mapping[str, int]) -> list[str]:
    """Memory and open files of each process, after the warm-up and at the end."""
    lines = [f"{'process':<12}{'starts':>7}{'MB then':>10}{'MB now':>10}{'files then':>12}{'files now':>12}"]
    for name, now in after.items():
        then = before.get(name)
        same = then is not None and then.pid == now.pid
        first = (f"{then.resident_bytes / 1e6:.1f}", str(then.open_files)) if same and then else ("another", "another")
        lines.append(
            f"{name:<12}{starts[name]:>7}{first[0]:>10}{now.resident_bytes / 1e6:>10.1f}"
            f"{first[1]:>12}{now.open_files:>12}"
        )
    return lines


def findings_list(findings: Mapping[str, Sequence[str]], most: int = 8) -> list[str]:
    """Each check with its verdict, and of each that failed the first sentences."""
    lines = []
    for check, sentences in findings.items():
        lines.append(f"{'ok  ' if not sentences else 'FAIL'}  {check}")
        lines += [f"        {sentence:.2000}" for sentence in sentences[:most]]
        if len(sentences) > most:
            lines.append(f"        and {len(sentences) - most} more")
    return lines
