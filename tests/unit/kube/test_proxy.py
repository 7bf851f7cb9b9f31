"""The proxy for an address is the one that Go's programs would use."""

import pytest

from summit_watcher.kube.access.proxy import proxy_of
from summit_watcher.kube.errors import KubeconfigError

PROXY = "http://proxy.example.com:3128"
IP = "https://10.20.0.10:6443"
NAME = "https://api.fra.example.com:6443"

DIRECT = [
    pytest.param(IP, "localhost,10.0.0.0/8", id="a network"),
    pytest.param(IP, "10.20.0.10:6443", id="an address with its port"),
    pytest.param(IP, " 10.20.0.10 ", id="an address"),
    pytest.param(IP, "10.20.0.10/32", id="a network of one"),
    pytest.param(IP, "10.20.1.7/16", id="a network by one of its addresses"),
    pytest.param(IP, "*", id="everything"),
    pytest.param("https://[fd00::7]:6443", "fd00::/8", id="an IPv6 network"),
    pytest.param("https://[fd00::7]:6443", "[fd00::7]:6443", id="an IPv6 address with its port"),
    pytest.param("https://[fd00::7]", "fd00:0::7", id="an IPv6 address, written otherwise"),
    pytest.param("https://[::ffff:10.20.0.10]:6443", "10.0.0.0/8", id="IPv4 in the form of IPv6"),
    pytest.param(NAME, "example.com", id="a domain"),
    pytest.param(NAME, ".example.com", id="a domain with a leading dot"),
    pytest.param(NAME, "*.example.com", id="a domain with a star"),
    pytest.param(NAME, "API.fra.EXAMPLE.com", id="the host in capitals"),
    pytest.param(NAME, "example.com:6443", id="a domain with the port"),
    pytest.param("https://fra.example.com", "fra.example.com:443", id="the scheme's own port"),
    pytest.param("https://localhost:6443", "", id="localhost"),
    pytest.param("https://127.8.0.1:6443", "", id="loopback"),
    pytest.param("https://[::1]:6443", "", id="IPv6 loopback"),
]
PROXIED = [
    pytest.param(IP, "", id="no exception"),
    pytest.param(IP, "10.20.0.10:443", id="another port"),
    pytest.param(IP, "10.21.0.0/16,fd00::/8", id="other networks"),
    pytest.param(IP, "0.20.0.10", id="an address that ends alike"),
    pytest.param(NAME, "10.0.0.0/8", id="a network, for a name"),
    pytest.param(NAME, "ample.com", id="a part of a label"),
    pytest.param(NAME, "example.com:443", id="a domain with another port"),
    pytest.param("https://example.com", ".example.com", id="a leading dot, for the domain itself"),
    pytest.param(NAME, "10.0.0.0/99, /, :, ,[", id="entries that are nothing"),
]


@pytest.mark.parametrize(("url", "no_proxy"), DIRECT)
def test_an_address_in_no_proxy_is_connected_directly(url: str, no_proxy: str) -> None:
    """Networks and ports count, and loopback always."""
    assert proxy_of(url, {"HTTPS_PROXY": PROXY, "NO_PROXY": no_proxy}) is None


@pytest.mark.parametrize(("url", "no_proxy"), PROXIED)
def test_an_address_that_is_not_in_no_proxy_is_proxied(url: str, no_proxy: str) -> None:
    """What only looks like an entry is none."""
    assert proxy_of(url, {"HTTPS_PROXY": PROXY, "NO_PROXY": no_proxy}) == PROXY


def test_names_of_both_cases_count_and_capitals_win() -> None:
    """An empty variable is as good as none."""
    assert proxy_of(IP, {"https_proxy": PROXY}) == PROXY
    assert proxy_of(IP, {"https_proxy": "http://other", "HTTPS_PROXY": PROXY}) == PROXY
    assert proxy_of(IP, {"https_proxy": PROXY, "HTTPS_PROXY": ""}) == PROXY
    assert proxy_of(IP, {"HTTPS_PROXY": PROXY, "no_proxy": "10.0.0.0/8"}) is None
    assert proxy_of("http://10.20.0.10", {"HTTPS_PROXY": PROXY, "HTTP_PROXY": "http://plain"}) == "http://plain"
    assert proxy_of(IP, {"ALL_PROXY": PROXY, "HTTP_PROXY": PROXY}) is None


def test_a_proxy_without_a_scheme_speaks_http() -> None:
    """So Go's programs read it."""
    assert proxy_of(IP, {"HTTPS_PROXY": "proxy.example.com:3128"}) == PROXY


@pytest.mark.parametrize("proxy", ["socks5://s3cret@p:1080", "http://", "http://s3cret@p:port"])
def test_a_proxy_that_cannot_be_used_is_reported_without_its_password(proxy: str) -> None:
    """A direct connection instead would go another way than the operator wants."""
    with pytest.raises(KubeconfigError, match="HTTPS_PROXY in the environment") as raised:
        proxy_of(IP, {"HTTPS_PROXY": proxy})
    assert "s3cret" not in str(raised.value)
