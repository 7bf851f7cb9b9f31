"""A principal: a name for the log and the history, a role, and the part of the fleet that it is limited to."""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Annotated, Any

from pydantic import BeforeValidator

from summit_api.access.scope import EVERYTHING, Scope


class Role(IntEnum):
    """What a principal may do. Each role includes the one before it."""

    VIEWER = 1
    """Read."""
    OPERATOR = 2
    """Also act on virtual machines."""
    ADMIN = 3
    """Also edit datacenters and virtual machines without a cluster."""

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
    """The name includes its origin: `token:grafana`, `oidc:alice`, or `anonymous`."""

    name: str
    role: Role
    scope: Scope = EVERYTHING
    until: datetime | None = None
    """When its token expires. A feed ends then."""


ANONYMOUS = "anonymous"
