"""Whether watched files have changed."""

import asyncio
import contextlib

from summit_runtime.watched_files import FileTimes, WatchedFiles

EAGER = FileTimes(look_seconds=0.01, settle_seconds=0.01, read_seconds=0.05)


async def has_changed(files: WatchedFiles) -> bool:
    """Whether a change is found within some looks of EAGER files."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(20 * EAGER.look_seconds):
            await files.changed()
            return True
    return False
