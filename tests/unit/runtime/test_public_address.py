"""Addresses that may be shown: the server, but no secrets."""

import pytest

from summit_runtime.public_address import public_address


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("nats://127.0.0.1:4222", "nats://127.0.0.1:4222"),
        ("nats://summit:s3cret@nats:4222", "nats://nats:4222"),
        ("nats://t0ken@nats:4222", "nats://nats:4222"),
        ("nats://a:s3cret@one:4222,nats://b:s3cret@two:4222", "nats://one:4222,nats://two:4222"),
        ("summit:s3cret@nats:4222", "nats:4222"),
        ("postgresql://summit:s3@cret@db:5432/summit", "postgresql://db:5432/summit"),
        ("postgresql://db/summit?user=summit&password=s3cret", "postgresql://db/summit"),
        ("", ""),
    ],
)
def test_a_shown_address_has_no_secret(url: str, shown: str) -> None:
    """There is no password, no token in the user's place, for any of several servers, and none among the options."""
    assert public_address(url) == shown
