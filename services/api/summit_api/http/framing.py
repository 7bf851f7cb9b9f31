"""What makes a request ambiguous beyond the grammar that llhttp checks: RFC 9112 sections 3.2 and 6.1.

Two programs that disagree on where a request ends, whom it is for or who sends it can be played off against each other
(request smuggling). llhttp 9 itself refuses two lengths, a length beside chunks, and rubbish in chunks.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import httptools

Headers = Sequence[tuple[bytes, bytes]]
"""Names in lower case."""

_ONCE = frozenset(
    {b"authorization", b"content-length", b"content-type", b"host", b"last-event-id", b"origin", b"sec-fetch-site"}
)
"""Of two values one would be ignored, and a proxy or a person may have checked the other."""


class InvalidRequestError(Exception):
    """The request is ambiguous; the sentence says what is."""


def check(method: bytes, target: bytes, version: str, headers: Headers) -> None:
    """Raise InvalidRequestError for a head that others may read otherwise than we do."""
    if version not in ("1.0", "1.1"):
        raise InvalidRequestError(f"the api speaks HTTP/1.1, not HTTP/{version}")
    if method == b"CONNECT":
        raise InvalidRequestError("the api is no proxy: it does not answer CONNECT")
    counts = Counter(name for name, _ in headers)
    for name in sorted(_ONCE & counts.keys()):
        if counts[name] > 1:
            raise InvalidRequestError(f"the header {name.decode().title()} can be there once, not {counts[name]} times")
    values = dict(headers)
    _check_coding(version, values.get(b"transfer-encoding"))
    _check_host(target, version, values.get(b"host"))


def _check_coding(version: str, coding: bytes | None) -> None:
    if coding is None:
        return
    if version == "1.0":
        raise InvalidRequestError("HTTP/1.0 has no Transfer-Encoding")
    if coding.strip().lower() != b"chunked":
        raise InvalidRequestError("the api reads no Transfer-Encoding but chunked")


def _check_host(target: bytes, version: str, host: bytes | None) -> None:
    if host is None and version == "1.1":
        raise InvalidRequestError("the header Host is missing")
    if target.startswith((b"/", b"*")):
        return
    parts = httptools.parse_url(target)
    authority = (parts.host or b"") + (b"" if parts.port is None else b":%d" % parts.port)
    if host is not None and authority.lower() != host.strip().lower():
        raise InvalidRequestError("the header Host is not the host of the address")


def head_without_upgrade(method: bytes, target: bytes, version: str, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The head once more, without the wish for another protocol, which a server may ignore (RFC 9110 section 7.8)."""
    lines = [method + b" " + target + f" HTTP/{version}".encode()]
    lines += [name + b": " + value for name, value in headers if name != b"upgrade"]
    return b"\r\n".join((*lines, b"", b""))
