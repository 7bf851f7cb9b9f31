"""Commands of the documentation, to run them as they are written there."""

import asyncio
import os
import re
from pathlib import Path

from support.paths import ROOT

_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands(page: str, heading: str) -> list[str]:
    """The shell blocks below a heading of the second level, in their order."""
    text = (ROOT / "docs" / page).read_text()
    below = text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return _BLOCK.findall(below)


async def shell(script: str, directory: Path, *, programs: Path | None = None, **variables: str) -> None:
    """Run it in a directory, and fail with its output unless its exit code is 0."""
    path = os.pathsep.join(map(str, filter(None, (programs, os.environ["PATH"]))))
    process = await asyncio.create_subprocess_exec(
        *("sh", "-e", "-c", script),
        cwd=directory,
        env=os.environ | variables | {"PATH": path},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
