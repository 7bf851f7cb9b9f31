"""What the Kubernetes API answers or sends that is not an object.

WatcherError
├── StatusError       the server said no, in its own words
└── UndecodableLine   bytes that are no event, or a page that is no list
"""

from hashlib import blake2b

import msgspec

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that cannot be read: bad JSON, a wrong type, bad UTF-8 (which is not a MsgspecError),
or nesting deeper than the stack."""


class WatcherError(Exception):
    """Base of the watcher's errors."""


class StatusError(WatcherError):
    """A Kubernetes `Status`: the body of a failed request, or the object of an ERROR event inside HTTP 200."""

    def __init__(
        self, code: int | None, reason: str | None, message: str | None, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(
            f"the API server answered {code or 'an error'} {reason or 'without a reason'}: {message or '-'}"
        )
        self.code = code
        self.reason = reason
        self.message = message
        self.retry_after_seconds = retry_after_seconds


class UndecodableLine(WatcherError):
    """Bytes that could not be read. Carries their length and digest, never the content: manifests hold secrets."""

    def __init__(self, reason: str, data: bytes) -> None:
        self.reason = reason
        self.length = len(data)
        self.digest = blake2b(data, digest_size=8).hexdigest()
        super().__init__(f"{reason} ({self.length} bytes, blake2b {self.digest})")
