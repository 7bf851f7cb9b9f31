"""A scope is the part of the fleet that a principal sees, in Python and in SQL alike."""

from summit_api.access.principal import EVERYTHING, Scope
from summit_api.query.arguments import Arguments, where
from summit_models.contract import DatacenterId

SOLNA, UPPSALA = DatacenterId("dc-solna"), DatacenterId("dc-uppsala")
BOTH = Scope(frozenset({SOLNA}), frozenset({"prod", "test"}))


def test_everything_needs_no_condition() -> None:
    """And an unrestricted query stays as it is."""
    assert EVERYTHING.conditions(Arguments().bind) == []
    assert where([]) == ""
    assert EVERYTHING.allows(UPPSALA, None)


def test_each_limit_is_a_condition_with_its_values_bound() -> None:
    """Values are never part of the statement's text."""
    arguments = Arguments()
    assert where(BOTH.conditions(arguments.bind)) == "WHERE datacenter IN ($1) AND namespace IN ($2, $3)"
    assert arguments == ["dc-solna", "prod", "test"]


def test_names_of_the_columns_are_the_tables() -> None:
    """Also for a table whose things are in no namespace."""
    assert BOTH.conditions(Arguments().bind, datacenter="datacenter_id", namespace=None) == ["datacenter_id IN ($1)"]


def test_nothing_is_not_everything() -> None:
    """An empty set of datacenters hides every row."""
    assert Scope(datacenters=frozenset()).conditions(Arguments().bind) == ["FALSE"]


def test_object_without_a_namespace_is_hidden_by_a_limit_to_some() -> None:
    """As `NULL IN (…)` is not true."""
    assert BOTH.allows(SOLNA, "prod")
    assert not BOTH.allows(SOLNA, None)
    assert not BOTH.allows(SOLNA, "dev")
    assert not BOTH.allows(UPPSALA, "prod")


def test_fingerprint_depends_only_on_the_limits() -> None:
    """It is part of the entity tags, which several processes must agree on."""
    assert EVERYTHING.fingerprint() is None
    assert BOTH.fingerprint() == Scope(BOTH.datacenters, frozenset({"test", "prod"})).fingerprint()
    assert BOTH.fingerprint() != Scope(BOTH.datacenters).fingerprint()
