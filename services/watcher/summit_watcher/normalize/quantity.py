"""Kubernetes quantities ("8Gi", "1500m", 4e9) as exact integers, and figures: a number, or why it could not be read.

No float arithmetic: 0.1 is not 0.1. Grammar and limits: k8s.io/apimachinery pkg/api/resource quantity.go and suffix.go.
"""

import re
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

import msgspec

from summit_watcher.kube.manifests.guest import Quantity

MAX_VALUE = 2**63 - 1
"""Larger quantities become this one, as in Go."""

_MAX_LENGTH = 128
"""Longer texts are refused: nobody writes them, and the work to read them grows with the square."""

_MAX_EXPONENT = 200
"""Larger exponents change nothing any more: 128 digits bring 10^200 not below 2^63, and 10^-200 not above 1."""

_QUANTITY = re.compile(
    r"(?P<sign>[+-]?)(?P<number>[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
    r"(?P<suffix>[KMGTPE]i|[numkMGTPE]|[eE](?P<exponent>[+-]?[0-9]+))?"
)  # "E" alone is exa, "E3" is an exponent; Go's grammar has neither upper-case "K" nor "1e1.5"

_BINARY = {suffix: Fraction(1024**power) for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), start=1)}
_DECIMAL = {
    suffix: Fraction(10) ** power
    for power, suffix in zip(range(-9, 19, 3), ("n", "u", "m", "", "k", "M", "G", "T", "P", "E"), strict=True)
}
_FACTORS = _BINARY | _DECIMAL


class Figure(msgspec.Struct, frozen=True, gc=False):
    """A number that was read, or why it could not be read: exactly one of the two is set."""

    value: int | None
    problem: str | None = None


@lru_cache(maxsize=4096)
def known(value: int) -> Figure:
    """The figure `value`; equal ones are one object, so that 10 000 VMs of 8 GiB share it."""
    return Figure(value)


@lru_cache(maxsize=4096)
def unknown(problem: str) -> Figure:
    return Figure(None, problem)


@lru_cache(maxsize=4096, typed=True)
def measured(concept: str, written: str | float) -> Figure:
    """A quantity in whole base units (cores, bytes); `concept` begins the sentence when it is invalid."""
    value = value_of(written)
    return known(value) if value is not None else unknown(f"{concept}: quantity {shown(written)} is invalid")


def is_zero(written: Quantity) -> bool:
    """Absent, or zero: KubeVirt's defaults pass over both."""
    return written is None or value_of(written) == 0


def shown(value: object) -> str:
    """A foreign value in a sentence: quoted, and short whatever was sent."""
    return repr(value if not isinstance(value, str) or len(value) <= 40 else f"{value[:40]}…")


@lru_cache(maxsize=4096, typed=True)
def value_of(quantity: str | float) -> int | None:
    """The quantity in its base unit (bytes, cores), rounded up to a whole number as Go's `Quantity.Value()`.

    None if it is not a quantity, or is negative: a guest has no negative size.
    """
    text = quantity if isinstance(quantity, str) else repr(quantity)  # repr of a float is what JSON had, shortest
    found = _QUANTITY.fullmatch(text) if len(text) <= _MAX_LENGTH else None
    if not found:
        return None
    exact = Fraction(Decimal(found["number"])) * _factor(found["suffix"] or "", found["exponent"])
    if found["sign"] == "-" and exact:
        return None
    return min(-(-exact.numerator // exact.denominator), MAX_VALUE)


def _factor(suffix: str, exponent: str | None) -> Fraction:
    if exponent is None:
        return _FACTORS[suffix]
    return Fraction(10) ** max(-_MAX_EXPONENT, min(_MAX_EXPONENT, int(exponent)))
