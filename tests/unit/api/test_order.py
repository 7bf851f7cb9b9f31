"""The order of a list: the id decides between equals, and is the last that counts."""

from summit_api.query.order import Column, parse

KNOWN = {"id": Column("id", nullable=False), "name": Column("name", nullable=False), "namespace": Column("namespace")}


def test_id_comes_last_where_it_is_not_named() -> None:
    """In the direction of the key before it, so that one index can be read along."""
    assert str(parse("namespace,-name", KNOWN)) == "namespace,-name,-id"


def test_columns_after_the_id_are_dropped() -> None:
    """No two rows are equal in it; a page that went on in what may be unknown was asked for in no order at all."""
    assert str(parse("name,-id,namespace", KNOWN)) == "name,-id"
