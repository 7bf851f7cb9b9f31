"""Which web pages may use the role of clients without a token."""

import pytest

from summit_api.access.pages import is_elsewhere, is_loopback, is_rebound


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
        ({"sec-fetch-site": "same-site"}, True),
        ({"sec-fetch-site": "same-origin"}, False),
        ({"sec-fetch-site": "none"}, False),
    ],
)
def test_foreign_pages(headers: dict[str, str], elsewhere: bool) -> None:
    """Those of this machine and those that are listed are ours; a program sends no origin."""
    assert is_elsewhere(headers, ["https://ui.example.com"]) is elsewhere


@pytest.mark.parametrize(
    ("host", "rebound"),
    [
        (None, False),
        ("localhost:3001", False),
        ("LOCALHOST.", False),
        ("127.0.0.1:3001", False),
        ("10.1.2.3", False),
        ("[::1]:3001", False),
        ("vms.example.com:3001", False),
        ("VMS.example.com", False),
        ("evil.example:3001", True),
        ("localhost.evil.example", True),
        ("127.0.0.1.evil.example", True),
        ("evil.example@127.0.0.1.evil.example", True),
        (":3001", True),
        ("[::1", True),
    ],
)
def test_name_that_somebody_else_may_own(host: str | None, rebound: bool) -> None:
    """A page whose own name leads to our address is recognised by that name: nobody can own an address."""
    assert is_rebound(host, ["vms.example.com"]) is rebound


def test_loopback() -> None:
    """Addresses and the name that only this machine can reach."""
    assert [is_loopback(host) for host in ("127.0.0.1", "127.1.2.3", "::1", "localhost")] == [True] * 4
    assert [is_loopback(host) for host in ("0.0.0.0", "::", "10.0.0.1", "vms.example.com", "")] == [False] * 5
