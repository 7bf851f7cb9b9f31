"""Quantities of memory, read and written."""

import pytest

from summit_simulator.objects.manifest import from_bytes, size_in_bytes


@pytest.mark.parametrize(
    ("quantity", "size"),
    [("2Gi", 2 * 1024**3), ("1.5Gi", 1536 * 1024**2), ("8G", 8 * 10**9), ("1024", 1024), (2048, 2048), (".5Ki", 512)],
)
def test_a_quantity_is_a_number_of_bytes(quantity: object, size: int) -> None:
    """With binary and decimal suffixes, fractions, and none of them."""
    assert size_in_bytes(quantity) == size


@pytest.mark.parametrize("quantity", ["", "lots", "1GiB", "-1Gi", "4e9", None, True])
def test_anything_else_is_no_quantity_here(quantity: object) -> None:
    """Exponents and signs are legal in Kubernetes; nobody sizes a guest with them."""
    with pytest.raises(ValueError, match="is not a quantity of memory"):
        size_in_bytes(quantity)


@pytest.mark.parametrize(
    ("size", "quantity"), [(8 * 1024**3, "8Gi"), (1536 * 1024**2, "1536Mi"), (1000, "1000"), (0, "0")]
)
def test_the_largest_suffix_without_a_fraction_is_written(size: int, quantity: str) -> None:
    """As KubeVirt's webhooks write them."""
    assert from_bytes(size) == quantity
