"""One line of the report, and the figures in it."""

import statistics
from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """One line of the report. `at_least`: the budget is a lower bound."""

    what: str
    value: float
    unit: str
    budget: float
    at_least: bool = False
    remark: str = ""

    @property
    def met(self) -> bool:
        return self.value >= self.budget if self.at_least else self.value <= self.budget

    def __str__(self) -> str:
        bound = "≥" if self.at_least else "≤"
        verdict = "met" if self.met else "MISSED"
        ratio = f"{self.value / self.budget:5.2f}" if self.budget else "    -"
        figures = f"{self.value:10.1f} {self.unit:<9} {bound} {self.budget:8.1f}   {ratio}  {verdict:<7}"
        return f"{self.what:<58} {figures} {self.remark}"


def p99(seconds: list[float]) -> float:
    """In milliseconds."""
    return 1000 * statistics.quantiles(seconds, n=100)[98]


def spread(seconds: list[float]) -> str:
    ordered = sorted(seconds)
    return f"median {1000 * statistics.median(ordered):.1f}, max {1000 * ordered[-1]:.1f}; {len(ordered)} samples"
