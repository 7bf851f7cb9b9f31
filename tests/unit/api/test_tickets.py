"""Tickets: signed, bound to a principal, and soon over."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from pydantic import SecretStr

from summit_api.access.principal import Principal, Role, Scope
from summit_api.access.tickets import Tickets
from summit_models.contract import DatacenterId

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
KEY = SecretStr("k" * 32)
VIEWER = Principal("token:a", Role.VIEWER, Scope(frozenset({DatacenterId("dc-solna")})), NOW + timedelta(days=1))


def test_ticket_is_valid_for_a_minute() -> None:
    """For the same principal, with the same limits."""
    tickets = Tickets()
    ticket, expires = tickets.new(VIEWER, NOW)
    assert expires == NOW + 60 * SECOND
    assert tickets.principal(ticket, NOW + 59 * SECOND) == VIEWER
    assert tickets.principal(ticket, NOW + 60 * SECOND) is None


def test_ticket_expires_with_its_token() -> None:
    """Nobody outlives a token by it."""
    assert Tickets().new(replace(VIEWER, until=NOW + SECOND), NOW)[1] == NOW + SECOND


def test_replicas_with_one_key_take_each_others_tickets() -> None:
    """No process accepts them with another key, which each makes up unless one is set."""
    ticket, _ = Tickets(KEY).new(VIEWER, NOW)
    assert Tickets(KEY).principal(ticket, NOW) == VIEWER
    assert Tickets().principal(ticket, NOW) is None


def test_invalid_ticket_is_rejected() -> None:
    """Nothing in a ticket can be changed."""
    tickets = Tickets(KEY)
    content, signature = tickets.new(VIEWER, NOW)[0].split(".")
    other, _ = tickets.new(replace(VIEWER, role=Role.ADMIN), NOW)[0].split(".")
    for wrong in ("", ".", "a.b", "a.b.c", "é.ü", f"{content}.", f"{other}.{signature}", f"{content}.{signature}.x"):
        assert tickets.principal(wrong, NOW) is None, wrong
