"""Web pages: which of them may use the role of clients without a token.

Every page that a person visits can send requests to 127.0.0.1, and an admin on the loopback needs no token. So a
request from a foreign page has at most the role viewer, unless the origin of the page is listed.

A page can also let its own name lead to 127.0.0.1 (DNS rebinding). Then it has the same origin as the api, and only the
`Host` header shows it. So the name in `Host` must be one that nobody else can own.
"""

from collections.abc import Collection, Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

ANY = "*"


def is_elsewhere(headers: Mapping[str, str], listed: Collection[str]) -> bool:
    """Whether a page that is neither from this machine nor listed sent the request. Programs send no Origin.

    An image or a link of such a page has no Origin either, but browsers send Sec-Fetch-Site. `same-site` is a
    neighbour, as evil.example.com is of vms.example.com; `none` is an address that a person typed.
    """
    origin = headers.get("origin")
    if origin is None:
        return headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
    return origin not in listed and not is_loopback(host_of(origin))


def is_rebound(host: str | None, ours: Collection[str]) -> bool:
    """Whether the `Host` of a request can be somebody else's name: neither `localhost` nor one of `ours`.

    Nobody can own an address, and a client that sends no Host is not a browser.
    """
    if not host:
        return False
    name = host_of(f"//{host}").removesuffix(".")
    return name != "localhost" and name not in ours and not _is_address(name)


def host_of(origin: str) -> str:
    """The name in an origin; empty if it is not an origin."""
    try:
        return urlsplit(origin).hostname or ""
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address or a name."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
