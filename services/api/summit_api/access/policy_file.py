"""The access file as it is now: read again when it changes, so that a token ends with the line it is in.

A change that cannot be read changes nothing: the last good one stays, and the log says what is wrong.
"""

import logging
from pathlib import Path

from summit_api.access.policy import Policy, PolicyError, parse

logger = logging.getLogger("summit.api")


class PolicyFile:
    """The policy in a file. Raises PolicyError when it cannot be read at the start."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = self._signature()
        self._policy = self._read()

    def current(self) -> Policy:
        """The newest that could be read. Looked at for each request: a microsecond."""
        signature = self._signature()
        if signature != self._seen:
            self._seen = signature
            self._read_again()
        return self._policy

    def _read_again(self) -> None:
        try:
            self._policy = self._read()
        except PolicyError as error:
            logger.error("%s; who may do what stays as it was", error)  # noqa: TRY400  the sentence is the message
        else:
            logger.info("access file %s has changed: %s", self._path, self.summary())

    def summary(self) -> str:
        return f"{len(self._policy.tokens)} tokens, {len(self._policy.groups)} groups"

    def _signature(self) -> tuple[int, ...] | None:
        """What changes with the file, also when it is replaced by another, as Kubernetes does with a mounted secret."""
        try:
            status = self._path.stat()
        except OSError:
            return None
        return (status.st_mtime_ns, status.st_size, status.st_ino)

    def _read(self) -> Policy:
        try:
            return parse(self._path.read_text())
        except OSError as error:
            raise PolicyError(f"access file {self._path} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise PolicyError(f"access file {self._path}: it is no text") from None
        except PolicyError as error:
            raise PolicyError(f"access file {self._path}: {error}") from None
