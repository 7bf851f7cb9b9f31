"""The access file: the tokens, and the roles of the groups of an identity provider.

tokens:
  - {name: grafana, role: viewer, datacenters: [dc-solna], expires: 2027-01-01, sha256: "9f86d0…"}
groups:                       # the first group in this list that a person is in decides
  - {group: platform, role: admin}
  - {group: finance, role: operator, namespaces: [prod-finance]}
  - {group: "*", role: viewer}
"""

import hmac
from collections.abc import Container
from datetime import UTC, date, datetime, time
from typing import Annotated, Any, Self

import yaml
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from summit_api.access.principal import RoleName
from summit_api.access.scope import Scope
from summit_api.problems.validation import place
from summit_models.contract import DatacenterId

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
    except yaml.YAMLError:
        raise PolicyError("it is not YAML") from None
    except ValidationError as error:
        wrong = error.errors(include_input=False)[0]
        where = f"{place(wrong['loc'])}: " if wrong["loc"] else ""
        raise PolicyError(f"{where}{wrong['msg'].removeprefix('Value error, ')}") from None
