"""Which proxy leads to an address, according to the environment, as Go's programs read it.

Python's own rule knows neither networks nor ports in NO_PROXY, so kubectl would connect directly where we did not.
Source: golang.org/x/net/http/httpproxy, whose documentation has the forms of an entry.
"""

import ipaddress
import os
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from summit_watcher.kube.errors import KubeconfigError

_SCHEMES = ("http", "https")
_PORTS = {"https": 443, "http": 80}

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class _Target(NamedTuple):
    host: str
    port: str
    address: _Address | None


def proxy_of(url: str, environment: Mapping[str, str] = os.environ) -> str | None:
    """The proxy for this URL, as a URL; None: connect directly. Raises KubeconfigError for one that we cannot use.

    The upper-case variables win over the lower-case ones. Loopback is never proxied.
    """
    parts = urlsplit(url)
    name = f"{parts.scheme}_proxy"
    proxy = environment.get(name.upper()) or environment.get(name)
    if not proxy or not parts.hostname or parts.scheme not in _SCHEMES:
        return None
    target = _Target(parts.hostname, str(parts.port or _PORTS[parts.scheme]), _address(parts.hostname))
    if _is_excepted(target, environment.get("NO_PROXY") or environment.get("no_proxy") or ""):
        return None
    return _usable(name.upper(), proxy)


def _usable(name: str, proxy: str) -> str:
    """The proxy's URL. A proxy without a scheme speaks HTTP. No sentence shows it: some contain a password."""
    try:
        scheme = urlsplit(proxy).scheme if "://" in proxy else "http"
        url = proxy if "://" in proxy else f"http://{proxy}"
        is_valid = bool(urlsplit(url).hostname) and urlsplit(url).port != 0
    except ValueError:
        is_valid = False
    if not is_valid:
        raise KubeconfigError(f"{name} in the environment is not the address of a proxy")
    if scheme not in _SCHEMES:
        raise KubeconfigError(f"{name} in the environment has {scheme} scheme, which is not supported: use http")
    return url


def _is_excepted(target: _Target, no_proxy: str) -> bool:
    if target.host == "localhost" or (target.address and target.address.is_loopback):
        return True
    entries = [entry.strip().lower() for entry in no_proxy.split(",")]
    return any(_matches(target, entry) for entry in entries if entry)


def _matches(target: _Target, entry: str) -> bool:
    if entry == "*":
        return True
    if network := _network(entry):
        return target.address is not None and target.address in network
    host, port = _split(entry)
    if not host or port not in ("", target.port):
        return False
    if address := _address(host):
        return target.address == address
    host = host[1:] if host.startswith("*.") else host
    return target.host.endswith(host if host.startswith(".") else f".{host}") or target.host == host


def _split(entry: str) -> tuple[str, str]:
    """Host and port of `host`, `host:port`, `[ipv6]:port` or a bare IPv6 address."""
    host, colon, port = entry.rpartition(":")
    if not colon or _address(entry):
        return entry, ""
    return host.removeprefix("[").removesuffix("]"), port


def _address(host: str) -> _Address | None:
    """An address; one of IPv4 in the form of IPv6 is the same."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _network(entry: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(entry, strict=False) if "/" in entry else None
    except ValueError:
        return None
