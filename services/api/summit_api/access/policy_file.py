"""The current access file. It is read again when it changes, so that a token ends when its line is deleted.

A file that is not valid changes nothing: the last valid one stays in force, and the log has the error.
It is looked at for each request, not every few seconds: a deleted token must not be accepted once more.
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
        """The newest valid policy. Looking at the file costs each request a microsecond."""
        signature = self._signature()
        if signature != self._seen:
            self._seen = signature
            self._read_again()
        return self._policy

    def _read_again(self) -> None:
        try:
            self._policy = self._read()
        except PolicyError as error:
            logger.error("%s; the previous access file stays in force", error)  # noqa: TRY400  the sentence is the message
        else:
            logger.info("access file %s has changed: %s", self._path, self.summary())

    def summary(self) -> str:
        return f"{len(self._policy.tokens)} tokens, {len(self._policy.groups)} groups"

    def _signature(self) -> tuple[int, ...] | None:
        """Changes with the file, also when another file replaces it, as Kubernetes does with a mounted secret."""
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
            raise PolicyError(f"access file {self._path}: it is not text") from None
        except PolicyError as error:
            raise PolicyError(f"access file {self._path}: {error}") from None
