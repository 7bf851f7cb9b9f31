"""A scope is the part of the fleet that a principal sees, in Python and in SQL alike."""

from summit_api.access.principal import EVERYTHING, Scope
from summit_models.contract import DatacenterId

SOLNA, UPPSALA = DatacenterId("dc-solna"), DatacenterId("dc-uppsala")
BOTH = Scope(frozenset({SOLNA}), frozenset({"prod", "test"}))


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
