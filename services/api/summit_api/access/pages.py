"""Browser pages: which of them may use the role of who sends no token.

Every page that a person visits can send requests to 127.0.0.1, and an admin on the loopback needs no token. So a
request that a page of elsewhere sends is a viewer's at most, unless that page's origin is listed.

A page can also let its own name lead to 127.0.0.1 (DNS rebinding): then it is of the same origin as the api, and only
the `Host` that its browser sends tells. So the name must be one that nobody else can give away.
"""

from collections.abc import Collection, Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

ANY = "*"


def is_elsewhere(headers: Mapping[str, str], listed: Collection[str]) -> bool:
    """Whether a page that is neither of this machine nor listed has sent the request. Programs send no Origin.

    An image or a link of such a page has no Origin either, but browsers tell of it in Sec-Fetch-Site. `same-site` is a
    neighbour, as evil.example.com is of vms.example.com; `none` is what a person has typed.
    """
    origin = headers.get("origin")
    if origin is None:
        return headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
    return origin not in listed and not _is_of_this_machine(origin)


def is_rebound(host: str | None, ours: Collection[str]) -> bool:
    """Whether the `Host` of a request is a name that may be somebody else's: neither `localhost` nor one of `ours`.

    An address is nobody's to give away, and who sends no Host is no browser.
    """
    if not host:
        return False
    name = host_of(f"//{host}").removesuffix(".")
    return name != "localhost" and name not in ours and not _is_address(name)


def host_of(origin: str) -> str:
    """The name in an origin; empty if it is no origin."""
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


def _is_of_this_machine(origin: str) -> bool:
    return is_loopback(host_of(origin))


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address or a name."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
