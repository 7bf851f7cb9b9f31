"""Who asks: a name for the log and the history, a role, and the part of the fleet it is limited to."""

from dataclasses import dataclass
from enum import IntEnum

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


@dataclass(frozen=True)
class Principal:
    name: str
    role: Role
    scope: Scope = EVERYTHING


ANONYMOUS = "anonymous"
