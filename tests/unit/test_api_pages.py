"""Which browser pages may use the role of who sends no token."""

import pytest

from summit_api.access.pages import is_elsewhere, is_loopback


@pytest.mark.parametrize(
    ("headers", "elsewhere"),
    [
        ({}, False),
        ({"origin": "http://localhost:8080"}, False),
        ({"origin": "http://127.0.0.1:3001"}, False),
        ({"origin": "http://[::1]:3001"}, False),
        ({"origin": "https://ui.example.com"}, False),
        ({"origin": "https://ui.example.com:444"}, True),
        ({"origin": "http://evil.example"}, True),
        ({"origin": "http://localhost.evil.example"}, True),
        ({"origin": "null"}, True),
        ({"origin": "http://[::1"}, True),
        ({"sec-fetch-site": "cross-site"}, True),
        ({"sec-fetch-site": "same-origin"}, False),
    ],
)
def test_pages_of_elsewhere(headers: dict[str, str], elsewhere: bool) -> None:
    """Those of this machine and those that are listed are ours; a program sends no origin."""
    assert is_elsewhere(headers, ["https://ui.example.com"]) is elsewhere


def test_loopback() -> None:
    """Addresses and the name that only this machine can reach."""
    assert [is_loopback(host) for host in ("127.0.0.1", "127.1.2.3", "::1", "localhost")] == [True] * 4
    assert [is_loopback(host) for host in ("0.0.0.0", "::", "10.0.0.1", "vms.example.com", "")] == [False] * 5
