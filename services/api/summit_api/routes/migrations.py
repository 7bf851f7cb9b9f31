"""/api/v1/migrations: live migrations, newest first, as bare arrays in the original's shape."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from sqlalchemy import ColumnElement

from summit_api.deps import Reading, ReadingDep
from summit_api.problems import invalid_field, not_found
from summit_api.query import migrations as query
from summit_api.render import original
from summit_api.shapes.original import OriginalMigration
from summit_models.migration import MigrationDirection

router = APIRouter(prefix="/migrations", tags=["migrations"])

_DIRECTIONS = {"enum": [direction.value for direction in MigrationDirection]}
"""Documented only: a wrong one is answered with the original's status and sentence, not with a 422."""


@router.get("", response_model=list[OriginalMigration])
async def list_migrations(
    reading: ReadingDep, direction: Annotated[str, Query(json_schema_extra=_DIRECTIONS)] = ""
) -> Response:
    """All migrations, also those whose object is gone from its cluster."""
    if not direction:
        return await _list(reading)
    return await _list(reading, query.in_direction(_direction(direction, "invalid direction query parameter")))


@router.get("/active", response_model=list[OriginalMigration])
async def list_active_migrations(reading: ReadingDep) -> Response:
    """Migrations that have not ended."""
    return await _list(reading, query.ACTIVE)


@router.get("/datacenter/{datacenter}", response_model=list[OriginalMigration])
async def list_datacenter_migrations(reading: ReadingDep, datacenter: str) -> Response:
    """Migrations of one datacenter; none for one that does not exist."""
    return await _list(reading, query.in_datacenter(datacenter))


@router.get("/vm/{name}", response_model=list[OriginalMigration])
async def list_vm_migrations(reading: ReadingDep, name: str) -> Response:
    """Migrations of all VMs of this name; none if there is none."""
    return await _list(reading, query.of_vm(name))


@router.get("/direction/{direction}", response_model=list[OriginalMigration])
async def list_directed_migrations(
    reading: ReadingDep, direction: Annotated[str, Path(json_schema_extra=_DIRECTIONS)]
) -> Response:
    """Migrations into, out of, or within their cluster."""
    return await _list(reading, query.in_direction(_direction(direction, "invalid direction")))


@router.get("/{migration_id}", response_model=OriginalMigration)
async def get_migration(reading: ReadingDep, migration_id: str) -> Response:
    """One migration by its id."""
    row = await query.by_id(reading.snapshot, migration_id)
    if row is None:
        raise not_found("Migration", "migration not found")
    tag = reading.tag()
    if reading.is_known(tag):
        return reading.not_modified(tag)
    return reading.answer(original.migration(row), tag)


async def _list(reading: Reading, *conditions: ColumnElement[bool]) -> Response:
    tag = reading.tag()
    if reading.is_known(tag):
        return reading.not_modified(tag)
    return reading.answer(original.migrations(await query.listed(reading.snapshot, *conditions)), tag)


def _direction(word: str, complaint: str) -> MigrationDirection:
    try:
        return MigrationDirection(word)
    except ValueError:
        raise invalid_field("direction", f"{complaint} - must be 'incoming', 'outgoing', or 'unknown'") from None
