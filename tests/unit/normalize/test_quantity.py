"""Kubernetes quantities are exact integers, and anything else is None."""

from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from summit_watcher.normalize.quantity import MAX_VALUE, value_of

FACTORS = {
    "": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15, "E": 10**18,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60,
}  # fmt: skip


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("8Gi", 8589934592),
        ("8192Mi", 8589934592),
        ("8589934592", 8589934592),
        (8589934592, 8589934592),
        ("1.5Gi", 1610612736),
        ("128974848000m", 128974848),
        ("8G", 8000000000),
        ("4e9", 4000000000),
        ("4E9", 4000000000),
        (4e9, 4000000000),
        (1.5, 2),
        ("1E", 10**18),
        ("1E3", 1000),
        ("1e+3", 1000),
        ("5000e-3", 5),
        ("+5", 5),
        ("5.", 5),
        (".5", 1),
        ("0.5", 1),
        ("0", 0),
        ("-0", 0),
        (0, 0),
        ("100m", 1),
        ("1500m", 2),
        ("2000m", 2),
        ("1n", 1),
        ("0.0000000001", 1),
        ("1u", 1),
        ("9223372036854775807", MAX_VALUE),
        ("9223372036854775808", MAX_VALUE),
        ("16Ei", MAX_VALUE),
        ("1e999999999999", MAX_VALUE),
        ("0e999999999999", 0),
        ("1e-999999999999", 1),
        (2**70, MAX_VALUE),
    ],
)
def test_quantity_is_rounded_up_to_whole_base_units(written: str | float, expected: int) -> None:
    """Each legal form gives the number that Go's Quantity.Value() gives."""
    assert value_of(written) == expected


@pytest.mark.parametrize(
    "written",
    [
        "", " ", ".", "-", "+", "abc", "8 Gi", " 8Gi", "8Gi\n", "8GB", "8K", "8KI", "8gi", "1e", "1e1.5", "1e+", "e3",
        "0x10", "1_000", "٣", "--1", "-1", "-1Gi", "-1n", "NaN", "inf", "1,5Gi", "1" * 200, -1, -0.5,
        float("inf"), float("nan"),
    ],
)  # fmt: skip
def test_other_text_is_no_quantity(written: str | float) -> None:
    """Wrong spelling and negative numbers are None."""
    assert value_of(written) is None


@given(st.integers(min_value=0, max_value=MAX_VALUE), st.sampled_from(sorted(FACTORS)))
def test_whole_number_with_suffix_round_trips(number: int, suffix: str) -> None:
    """A whole number comes back times its suffix, up to the largest value."""
    assert value_of(f"{number}{suffix}") == min(number * FACTORS[suffix], MAX_VALUE)


@given(
    st.integers(min_value=0, max_value=10**9),
    st.integers(min_value=0, max_value=10**9 - 1),
    st.sampled_from(["Ki", "Gi"]),
)
def test_fraction_is_exact_and_rounded_up(whole: int, parts: int, suffix: str) -> None:
    """No binary floating point stands between the text and the number."""
    exact = (whole + Fraction(parts, 10**9)) * FACTORS[suffix]
    assert value_of(f"{whole}.{parts:09d}{suffix}") == -(-exact.numerator // exact.denominator)


TEXTS = st.text(max_size=30) | st.from_regex(r"[+-]?[0-9.]{0,20}[a-zA-Z]{0,2}[0-9+-]{0,6}", fullmatch=True)


@given(TEXTS | st.integers() | st.floats())
@example("1e400")
@example("9" * 128)
def test_nothing_raises_or_is_negative(written: str | float) -> None:
    """Any text or number is a number from 0 to the largest, or None."""
    number = value_of(written)
    assert number is None or 0 <= number <= MAX_VALUE
