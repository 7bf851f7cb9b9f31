"""`python -m summit_simulator`: configured by the environment only, see settings.py."""

import asyncio
import os
import sys

from summit_simulator.process import print_line, run
from summit_simulator.settings import read_settings


def main() -> None:
    """Read the environment and simulate until SIGTERM or SIGINT."""
    try:
        settings = read_settings(os.environ)
    except ValueError as error:
        sys.exit(str(error))
    asyncio.run(run(settings, report=print_line))


if __name__ == "__main__":
    main()
