"""Browser pages: which of them may use the role of who sends no token.

Every page that a person visits can send requests to 127.0.0.1, and an admin on the loopback needs no token. So a
request that a page of elsewhere sends is a viewer's at most, unless that page's origin is listed.
"""

from collections.abc import Collection, Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

ANY = "*"


def is_elsewhere(headers: Mapping[str, str], listed: Collection[str]) -> bool:
    """Whether a page that is neither of this machine nor listed has sent the request. Programs send no Origin.

    An image or a link of such a page has no Origin either, but browsers tell of it in Sec-Fetch-Site.
    """
    origin = headers.get("origin")
    if origin is None:
        return headers.get("sec-fetch-site") == "cross-site"
    return origin not in listed and not _is_of_this_machine(origin)


def _is_of_this_machine(origin: str) -> bool:
    try:
        name = urlsplit(origin).hostname or ""
        return is_loopback(name)
    except ValueError:
        return False


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address or a name."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
