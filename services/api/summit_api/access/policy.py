"""The access file: the tokens, and the roles of the groups of an identity provider.

tokens:
  - {name: grafana, role: viewer, datacenters: [dc-solna], expires: 2027-01-01, sha256: "9f86d0…"}
groups:                       # the first group in this list that a person is in decides
  - {group: platform, role: admin}
  - {group: finance, role: operator, namespaces: [prod-finance]}
  - {group: "*", role: viewer}
"""

import hmac
import logging
import stat
from collections.abc import Container
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from summit_api.access.principal import RoleName, Scope
from summit_api.problems.validation import place
from summit_models.contract import DatacenterId
from summit_runtime.watched_files import read_limited

logger = logging.getLogger("summit.api")

EVERYBODY = "*"
"""The group of everyone who has a valid token of the identity provider."""


class PolicyError(Exception):
    """The access file is not valid. The sentence names the place, and shows nothing of the content."""


def _begin_of_day(value: Any) -> Any:
    """A date without a time is the beginning of that day in UTC."""
    return datetime.combine(value, time(), UTC) if type(value) is date else value


class Grant(BaseModel):
    """A role, in all or a part of the fleet."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    role: RoleName
    datacenters: frozenset[DatacenterId] | None = None
    namespaces: frozenset[str] | None = None

    @property
    def scope(self) -> Scope:
        return Scope(self.datacenters, self.namespaces)


class TokenGrant(Grant):
    name: str = Field(min_length=1)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    expires: Annotated[AwareDatetime | None, BeforeValidator(_begin_of_day)] = None


class GroupGrant(Grant):
    group: str = Field(min_length=1)


class Policy(BaseModel):
    """The roles of tokens and groups."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tokens: tuple[TokenGrant, ...] = ()
    groups: tuple[GroupGrant, ...] = ()

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        """A hash identifies a token, and so does its name in the history."""
        for what, values in (
            ("name", [token.name for token in self.tokens]),
            ("sha256", [token.sha256 for token in self.tokens]),
            ("group", [grant.group for grant in self.groups]),
        ):
            if len(set(values)) < len(values):
                raise ValueError(f"two entries have the same {what}")
        return self

    def of_token(self, digest: str) -> TokenGrant | None:
        """The token with this hash. All are compared, each in constant time, so that the duration reveals nothing."""
        found = None
        for token in self.tokens:
            if hmac.compare_digest(token.sha256, digest):
                found = token
        return found

    def of_groups(self, groups: Container[str]) -> GroupGrant | None:
        """The first grant for one of these groups, in the order of the file."""
        return next((grant for grant in self.groups if grant.group == EVERYBODY or grant.group in groups), None)


def parse(text: str) -> Policy:
    """Read an access file. Raises PolicyError, never with a value: it could be a token in the wrong place."""
    try:
        return Policy.model_validate(yaml.safe_load(text) or {})
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise PolicyError(f"{line}{error.problem or 'this is not YAML'}") from None
    except ValidationError as error:
        wrong = error.errors(include_input=False)[0]
        where = f"{place(wrong['loc'])}: " if wrong["loc"] else ""
        raise PolicyError(f"{where}{wrong['msg'].removeprefix('Value error, ')}") from None
    except (yaml.YAMLError, RecursionError, ValueError):  # ValueError: a date such as 2026-99-99
        raise PolicyError("it is not YAML") from None


class PolicyFile:
    """The access file as it is now. Raises PolicyError when it cannot be read at the start.

    It is read again when it changes, so that a token ends when its line is deleted. A file that is not valid changes
    nothing: the last valid one stays in force, and the log has the error.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = self._signature()
        self._policy = self._read()

    def current(self) -> Policy:
        """The newest valid policy. Each request looks at the file, which costs a microsecond: a deleted token must not
        be accepted once more.
        """
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
        counts = {"token": len(self._policy.tokens), "group": len(self._policy.groups)}
        return ", ".join(f"{count} {noun}{'' if count == 1 else 's'}" for noun, count in counts.items())

    def _signature(self) -> tuple[int, ...] | None:
        """Changes with the file, also when another file replaces it, as Kubernetes does with a mounted secret."""
        try:
            status = self._path.stat()
        except OSError:
            return None
        return (status.st_mtime_ns, status.st_size, status.st_ino)

    def _read(self) -> Policy:
        try:
            return parse(_text(self._path))
        except OSError as error:
            raise PolicyError(f"access file {self._path} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise PolicyError(f"access file {self._path}: it is not text") from None
        except PolicyError as error:
            raise PolicyError(f"access file {self._path}: {error}") from None


def _text(path: Path) -> str:
    """The text of a file, but not of a device or a pipe, which may have no end. Raises PolicyError or OSError."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise PolicyError("it is not a regular file")
    return read_limited(path).decode()
