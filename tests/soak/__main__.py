"""`make soak MINUTES=10 SEED=…`: exit code 0 when nothing was lost and nothing was false."""

import argparse
import asyncio
import random
import sys
import tempfile
from pathlib import Path

from soak.run import Plan, soak


def main() -> int:
    arguments = _arguments()
    directory = arguments.directory or Path(tempfile.mkdtemp(prefix="summit-soak-"))
    plan = Plan(seconds=arguments.minutes * 60, seed=arguments.seed, clusters=arguments.clusters, vms=arguments.vms)
    result = asyncio.run(soak(plan, directory))
    sys.stdout.write("\n".join(["", *result.report, ""]))
    verdict = "clean" if result.clean else "NOT CLEAN"
    sys.stdout.write(f"\nverdict: {verdict} (SEED={plan.seed}; logs in {directory})\n")
    return 0 if result.clean else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=random.randrange(100_000))  # noqa: S311
    parser.add_argument("--clusters", type=int, default=5)
    parser.add_argument("--vms", type=int, default=40, help="of each cluster at the beginning")
    parser.add_argument("--directory", type=Path, help="for data and logs; a new one by default")
    return parser.parse_args()


sys.exit(main())
