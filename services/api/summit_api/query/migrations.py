"""Migrations, newest first. Those whose object KubeVirt has removed stay: this is their history."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, func, not_, or_, select

from summit_api.query.snapshot import Snapshot
from summit_api.shapes.original import OriginalMigration
from summit_models.migration import MigrationDirection
from summit_models.tables import migrations

_m = migrations.c

ACTIVE = and_(not_(_m.completed), _m.deleted_at.is_(None))
"""Index migrations_active. A migration whose object was deleted under way has ended, whatever it said last."""

_COMPUTED: dict[str, ColumnElement[Any]] = {
    **{
        name: func.coalesce(_m[name], "")
        for name in (
            "vm_id",
            "source_cluster",
            "target_cluster",
            "source_node",
            "target_node",
            "source_pod",
            "target_pod",
        )
    },
    "created_at": func.coalesce(_m.created_at, _m.observed_at),  # the original always has one
    "updated_at": _m.observed_at,
    "completed": or_(_m.completed, _m.deleted_at.is_not(None)),
}

_SELECT = select(*(_COMPUTED[name] if name in _COMPUTED else _m[name] for name in OriginalMigration.model_fields))


def in_datacenter(datacenter: str) -> ColumnElement[bool]:
    return _m.datacenter_id == datacenter


def of_vm(name: str) -> ColumnElement[bool]:
    """Index migrations_by_vm."""
    return _m.vm_name == name


def in_direction(direction: MigrationDirection) -> ColumnElement[bool]:
    return _m.direction == direction


async def listed(snapshot: Snapshot, *conditions: ColumnElement[bool]) -> list[Sequence[Any]]:
    """The members of OriginalMigration, in order, of the migrations that meet all conditions."""
    statement = _SELECT.where(*conditions).order_by(_m.created_at.desc(), _m.id)
    return list(await snapshot.connection.execute(statement))


async def by_id(snapshot: Snapshot, migration_id: str) -> Sequence[Any] | None:
    return (await snapshot.connection.execute(_SELECT.where(_m.id == migration_id))).one_or_none()
