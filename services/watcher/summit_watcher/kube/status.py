"""The server's no: HTTP answers other than 2xx, and how long it asks to be left alone."""

from collections.abc import Mapping

from summit_watcher.kube.errors import StatusError
from summit_watcher.kube.resources import status_error

BODY_SHOWN = 100
"""Characters shown of a body that is no Status, such as a proxy's page."""
MESSAGE_SHOWN = 1000
"""Characters of the server's own sentence: it goes into the log and into an event, which has a largest size."""
MAX_WAIT_SECONDS = 3600.0
"""A server that asks for more patience than an hour is mistaken, and would not be heard of again."""


def http_error(code: int, reason: str | None, headers: Mapping[str, str], body: bytes) -> StatusError:
    """The StatusError of an HTTP answer; the body is a Status, or (404 of an absent CRD, proxies) just text."""
    told = status_error(body)
    waits = [w for w in (told.retry_after_seconds, _seconds(headers.get("Retry-After"))) if w is not None]
    message = (told.message or "")[:MESSAGE_SHOWN] or " ".join(body[:BODY_SHOWN].decode(errors="replace").split())
    wait = min(max(waits), MAX_WAIT_SECONDS) if waits else None
    return StatusError(code, told.reason or reason, message or None, wait)


def _seconds(retry_after: str | None) -> float | None:
    """Kubernetes sends seconds; the other form, a date, comes from proxies and is left to our own backoff."""
    return float(retry_after) if retry_after and retry_after.isdecimal() else None
