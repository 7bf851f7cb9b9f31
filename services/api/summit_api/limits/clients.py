"""Limits of each client: requests per second, requests under way, open feeds. 0 is no limit."""

import math
import time
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from ipaddress import IPv6Address, ip_address, ip_network

from summit_api.access.principal import ANONYMOUS, Principal
from summit_api.problems import Kind, ProblemError

MOST_CLIENTS = 10_000
"""The client that has been idle for longest is forgotten and has a full bucket again. It is a megabyte in all."""


class Rate:
    """`per_second` on average, and up to `burst` at once, in bounded memory.

    The generic cell rate algorithm: a token bucket that keeps one number per client, the time at which its bucket will
    be full again.
    """

    def __init__(self, per_second: float, burst: int) -> None:
        self._seconds_each = 1 / per_second
        self._tolerance = (burst - 1) * self._seconds_each
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def take(self, client: str, now: float) -> float:
        """Take one and return 0, or take none and return the seconds until there is one. `now` is monotonic."""
        full_at = max(self._full_at.get(client, now), now)
        wait = full_at - now - self._tolerance
        if wait > 0:
            return wait
        self._full_at[client] = full_at + self._seconds_each
        self._full_at.move_to_end(client)
        if len(self._full_at) > MOST_CLIENTS:
            self._full_at.popitem(last=False)
        return 0.0


class Clients:
    def __init__(
        self, *, requests_per_second: float = 0, burst: int = 1, concurrent_requests: int = 0, feeds: int = 0
    ) -> None:
        self._rate = Rate(requests_per_second, max(burst, 1)) if requests_per_second else None
        self._per_second = requests_per_second
        self._most_requests = concurrent_requests
        self._most_feeds = feeds
        self._requests: Counter[str] = Counter()
        self._feeds: Counter[str] = Counter()

    def count(self, client: str) -> None:
        """Count one request against the rate of the client. Raises ProblemError 429."""
        if self._rate and (wait := self._rate.take(client, time.monotonic())):
            raise _too_many(f"{client} may send {self._per_second:g} requests per second", math.ceil(wait))

    def request(self, client: str) -> AbstractContextManager[None]:
        """A request while it is under way. Raises ProblemError 429."""
        return self._one_more(self._requests, client, self._most_requests, "requests under way")

    def feed(self, client: str) -> AbstractContextManager[None]:
        """A feed while it is open. Raises ProblemError 429."""
        return self._one_more(self._feeds, client, self._most_feeds, "open feeds")

    @contextmanager
    def _one_more(self, counted: Counter[str], client: str, most: int, what: str) -> Iterator[None]:
        self.count(client)
        if most and counted[client] >= most:
            raise _too_many(f"{client} may have {most} {what}: wait until one ends", 1)
        counted[client] += 1
        try:
            yield
        finally:
            counted[client] -= 1
            if not counted[client]:
                del counted[client]


def client_of(principal: Principal | None, host: str | None) -> str:
    """The client that a limit applies to: the owner of a token, at any address; else an address.

    For IPv6 it is the network of 64 bits, since its owner has all its addresses. Everything that is not an address is
    one client: a made-up name for each request would get around the limits and fill the memory.
    """
    if principal and principal.name != ANONYMOUS:
        return principal.name
    try:
        address = ip_address(host or "")
    except ValueError:
        return "address unknown"
    if isinstance(address, IPv6Address):
        return f"address {address.ipv4_mapped or ip_network((int(address), 64), strict=False)}"
    return f"address {address}"


def _too_many(detail: str, retry_after: int) -> ProblemError:
    return ProblemError(Kind.TOO_MANY_REQUESTS, detail, retry_after=retry_after)
