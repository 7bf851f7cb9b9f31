"""Who asks: a name for the log and the history, a role, and the part of the fleet it is limited to."""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Annotated, Any

from pydantic import BeforeValidator

from summit_api.access.scope import EVERYTHING, Scope


class Role(IntEnum):
    """What one may do. Each includes the one before it."""

    VIEWER = 1
    """Read."""
    OPERATOR = 2
    """And act on virtual machines."""
    ADMIN = 3
    """And change what is declared by hand: datacenters, virtual machines without a cluster."""

    def __str__(self) -> str:
        return self.name.lower()


def _by_name(value: Any) -> Role:
    for role in Role:
        if value is role or value == str(role):
            return role
    raise ValueError(f"a role is one of {', '.join(map(str, Role))}")


RoleName = Annotated[Role, BeforeValidator(_by_name)]
"""A role as people write it."""


@dataclass(frozen=True)
class Principal:
    """The name says where it is from: `token:grafana`, `oidc:alice`, or `anonymous`."""

    name: str
    role: Role
    scope: Scope = EVERYTHING
    until: datetime | None = None
    """When its token expires: what goes on for long, as a feed does, ends then."""


ANONYMOUS = "anonymous"
