"""/api/v1/migrations: live migrations, newest first, as bare arrays in the shape of the original API."""

from typing import Annotated
from urllib.parse import parse_qsl, urlencode

from fastapi import APIRouter, Path, Query, Response

from summit_api.openapi.responses import problems, reads
from summit_api.problems import Kind, ProblemError
from summit_api.problems.problem import invalid_value
from summit_api.query import migrations as query
from summit_api.query.migrations import DIRECTIONS, MigrationFilters, MigrationPageQuery
from summit_api.query.parameters import OneOfThese, Storable
from summit_api.render import original
from summit_api.requests.reading import Reading, ReadingDep
from summit_api.shapes.original import OriginalMigration
from summit_models.contract import DatacenterId
from summit_models.migration import MigrationDirection

router = APIRouter(prefix="/migrations", tags=["migrations"], responses=reads())


@router.get("", response_model=list[OriginalMigration])
async def list_migrations(reading: ReadingDep, parameters: Annotated[MigrationPageQuery, Query()]) -> Response:
    """Migrations, newest first, also those whose object is gone from its cluster; at most 1000.

    When there are more, the header `Link` has the address of the next page, with `rel="next"`.
    """
    if parameters.direction:
        _check(parameters.direction, "invalid direction query parameter")
    tag = reading.tag()
    if unchanged := reading.unchanged(tag):
        return unchanged
    page = await query.page(reading.transaction, parameters, reading.scope)
    answer = reading.answer(original.migrations(page.rows), tag)
    if page.next:
        answer.headers["Link"] = f'<{_next_page(reading.target, page.next)}>; rel="next"'
    return answer


@router.get("/active", response_model=list[OriginalMigration])
async def list_active_migrations(reading: ReadingDep) -> Response:
    """Migrations that have not ended."""
    return await _list(reading, MigrationFilters(completed=False))


@router.get("/datacenter/{datacenter}", response_model=list[OriginalMigration])
async def list_datacenter_migrations(reading: ReadingDep, datacenter: Storable) -> Response:
    """Migrations of one datacenter; none for one that does not exist."""
    return await _list(reading, MigrationFilters(datacenter=[DatacenterId(datacenter)]))


@router.get("/vm/{name}", response_model=list[OriginalMigration])
async def list_vm_migrations(reading: ReadingDep, name: Storable) -> Response:
    """Migrations of all VMs of this name; none if there is none."""
    return await _list(reading, MigrationFilters(vm=[name]))


@router.get("/direction/{direction}", response_model=list[OriginalMigration])
async def list_directed_migrations(
    reading: ReadingDep, direction: Annotated[str, Path(json_schema_extra=DIRECTIONS)]
) -> Response:
    """Migrations into, out of, or within their cluster."""
    _check(direction, "invalid direction")
    return await _list(reading, MigrationFilters(direction=direction))


@router.get(
    "/{migration_id}",
    response_model=OriginalMigration,
    responses=problems(Kind.MIGRATION_NOT_FOUND, Kind.REVISION_NOT_APPLIED, Kind.AMBIGUOUS_ID),
)
async def get_migration(reading: ReadingDep, migration_id: str, parameters: Annotated[OneOfThese, Query()]) -> Response:
    """One migration by its id."""
    row = await query.by_id(reading.transaction, migration_id, reading.scope, parameters.cluster)
    if row is None:
        raise ProblemError(Kind.MIGRATION_NOT_FOUND, "migration not found")
    return reading.answer(original.migration(row), reading.tag())


async def _list(reading: Reading, filters: MigrationFilters) -> Response:
    tag = reading.tag()
    if unchanged := reading.unchanged(tag):
        return unchanged
    return reading.answer(original.migrations(await query.every(reading.transaction, filters, reading.scope)), tag)


def _check(direction: str, wrong: str) -> None:
    """Raises ProblemError 400 with the original's sentence."""
    if direction not in [*MigrationDirection]:
        sentence = f"{wrong} - must be 'incoming', 'outgoing', or 'unknown'"
        raise invalid_value("direction", sentence, error=sentence)


def _next_page(target: str, cursor: str) -> str:
    """The address of the page that begins at the cursor, with all other parameters unchanged."""
    path, _, query_string = target.partition("?")
    parameters = [(name, value) for name, value in parse_qsl(query_string, keep_blank_values=True) if name != "cursor"]
    return f"{path}?{urlencode([*parameters, ('cursor', cursor)])}"
