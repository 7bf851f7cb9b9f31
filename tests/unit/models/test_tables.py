"""The read models as tables."""

from sqlalchemy import Integer
from sqlalchemy.types import BigInteger

from summit_models.tables import metadata


def test_no_column_is_a_32_bit_integer() -> None:
    """Bytes overflow it at 2 GiB, stream sequences at 2^31."""
    columns = [column for table in metadata.sorted_tables for column in table.columns]
    assert [str(c) for c in columns if isinstance(c.type, Integer) and not isinstance(c.type, BigInteger)] == []
