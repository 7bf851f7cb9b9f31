"""A minute of what `make soak` does for ten: chaos in everything, and the verdict."""

from pathlib import Path

import pytest
from soak.run import Plan, soak

SEED = 1
"""Any other must do as well: `make soak MINUTES=1 SEED=…`."""


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_chaos_loses_nothing_and_makes_nothing_up(tmp_path: Path) -> None:
    """Truth = log = tables = API after kills, cuts and freezes of everything; no false delete on the way."""
    plan = Plan(seconds=24, seed=SEED, vms=20, heal_seconds=15, operation_seconds=15)
    outcome = await soak(plan, tmp_path)
    assert outcome.clean, "\n".join(outcome.report)
