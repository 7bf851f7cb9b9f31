"""`make test-compose`: the product in containers as docker-compose.yml has it, broken and looked at from outside.

Exit code 0 when the API has always come back to what the simulated clusters say, in the promised time.
"""

import asyncio
import signal
import sys
import tempfile
from pathlib import Path

from compose.course import course
from soak.report import findings_list, show


async def _run(directory: Path) -> bool:
    """Whether all is well. SIGTERM ends it as Ctrl-C does: what was started is removed."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asyncio.current_task().cancel)
    outcome = await course(directory)
    sys.stdout.write("\n".join(["", *outcome.report(), *findings_list(outcome.findings), ""]))
    return not any(outcome.findings.values())


def main() -> int:
    directory = Path(tempfile.mkdtemp(prefix="summit-compose-"))
    show(f"the log of all containers will be in {directory}")
    try:
        is_clean = asyncio.run(_run(directory))
    except asyncio.CancelledError:
        show("ended by SIGTERM")
        is_clean = False
    except (AssertionError, OSError) as error:
        show(f"{error}")
        is_clean = False
    sys.stdout.write(f"\nverdict: {'clean' if is_clean else 'NOT CLEAN'} (logs in {directory})\n")
    return 0 if is_clean else 1


sys.exit(main())
