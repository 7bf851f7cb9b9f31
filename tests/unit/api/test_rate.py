"""A rate per client: bursts are allowed, the average is kept, and memory is bounded."""

import pytest

from summit_api.access.principal import ANONYMOUS, Principal, Role
from summit_api.limits.clients import MOST_CLIENTS, Clients, Rate, client_of
from summit_api.problems import ProblemError


def test_burst_then_the_average() -> None:
    """Ten at once, then one each tenth of a second; a rejected request gets the time to wait, and costs nothing."""
    rate = Rate(per_second=10, burst=10)
    assert [rate.take("a", 0.0) for _ in range(10)] == [0.0] * 10
    assert rate.take("a", 0.0) == pytest.approx(0.1)
    assert rate.take("a", 0.05) == pytest.approx(0.05)
    assert rate.take("a", 0.1001) == 0.0
    assert rate.take("a", 0.1001) > 0
    assert [rate.take("a", 100.0) for _ in range(10)] == [0.0] * 10
    assert rate.take("a", 100.0) > 0


def test_clients_do_not_share() -> None:
    """One client's requests leave the rate of another as it is."""
    rate = Rate(per_second=1, burst=1)
    assert [rate.take(client, 0.0) for client in "aab"] == [0.0, 1.0, 0.0]


def test_memory_is_bounded() -> None:
    """The clients that have been idle for longest are forgotten first."""
    rate = Rate(per_second=1, burst=1)
    for number in range(MOST_CLIENTS + 100):
        rate.take("steady", number / 100)
        rate.take(f"client {number}", number / 100)
    assert len(rate._full_at) == MOST_CLIENTS
    assert "steady" in rate._full_at


def test_client_is_the_owner_of_the_token_else_an_address() -> None:
    """For IPv6 it is the network of one customer."""
    somebody, nobody = Principal("token:ci", Role.VIEWER), Principal(ANONYMOUS, Role.VIEWER)
    assert client_of(somebody, "10.0.0.1") == "token:ci"
    assert client_of(nobody, "10.0.0.1") == client_of(None, "10.0.0.1") == "address 10.0.0.1"
    assert client_of(nobody, "2001:db8::1") == client_of(None, "2001:db8::ffff:1") == "address 2001:db8::/64"
    assert client_of(nobody, "fe80::1%eth0") == "address fe80::/64"
    assert client_of(nobody, "::ffff:10.0.0.1") == "address 10.0.0.1"
    assert client_of(nobody, None) == client_of(nobody, "made up by who sent it") == "address unknown"


def test_requests_and_feeds_count_until_they_end() -> None:
    """However they end; a client at its limit is rejected, and others are not affected."""
    clients = Clients(concurrent_requests=1, feeds=1)
    with clients.request("a"), clients.feed("a"), clients.request("b"):
        for place in (clients.request, clients.feed):
            with pytest.raises(ProblemError, match="may have 1") as refused, place("a"):
                pass
            assert (refused.value.status, refused.value.headers) == (429, {"Retry-After": "1"})
    with pytest.raises(ZeroDivisionError), clients.request("a"):
        raise ZeroDivisionError
    with clients.request("a"), clients.feed("a"):
        pass
    assert not clients._requests
    assert not clients._feeds
