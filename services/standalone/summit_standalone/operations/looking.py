"""`summit-connect operations`, as a command: list, show, watch and cancel."""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime

import typer

from summit_standalone.bulk import acting as bulk
from summit_standalone.bulk.course import Course
from summit_standalone.commands.table import GAP
from summit_standalone.errors import StandaloneError
from summit_standalone.operating.act import Act, as_json
from summit_standalone.operating.acting import INTERRUPTED, How, going_on, leaving
from summit_standalone.operating.screen import Lines, shown
from summit_standalone.operating.waiting import wait
from summit_standalone.operations import listing, one, watching
from summit_standalone.operations.listing import Filters
from summit_standalone.operations.one import Change
from summit_standalone.options import Output
from summit_standalone.remote.address import Api
from summit_standalone.remote.client import ApiClient, ApiError, Json


def list_(api: Api, filters: Filters, limit: int, output: Output, *, is_bulk: bool) -> None:
    """Print the newest operations, on single VMs or on many."""
    items = asyncio.run(_page(api, filters, limit, listing.BULK if is_bulk else listing.PATH))
    typer.echo(
        json.dumps({"items": items}, indent=2) if output is Output.JSON else listing.as_text(items, datetime.now(UTC))
    )


async def _page(api: Api, filters: Filters, limit: int, path: str) -> list[Json]:
    async with ApiClient(api) as client:
        return (await listing.page(client, filters, limit, path))[0]


def show(api: Api, ids: Sequence[str], output: Output) -> None:
    """Print these operations with their steps."""
    found = asyncio.run(_show(api, ids))
    if output is Output.JSON:
        items = [{**operation, "steps": steps} for operation, steps in found]
        typer.echo(json.dumps({"items": items}, indent=2))
        return
    typer.echo("\n\n".join(one.described(operation, steps) for operation, steps in found))


async def _show(api: Api, ids: Sequence[str]) -> list[tuple[Json, Sequence[Json]]]:
    async with ApiClient(api) as client:
        return [await one.show(client, id_) for id_ in ids]


def follow(api: Api, ids: Sequence[str], output: Output) -> bool:
    """Wait until these operations have ended, showing each step; whether all have succeeded."""
    acts, course = list[Act](), Course()
    with leaving(lambda: [*going_on(acts), *bulk.going_on(course)]):
        asyncio.run(_follow(api, ids, acts, course, output))
    if course.operation:
        return bulk.concluded(course, How(wait=True, output=output, confirmed=True))
    if output is Output.JSON:
        typer.echo(json.dumps(as_json(acts), indent=2))
    return all(act.has_succeeded for act in acts)


async def _follow(api: Api, ids: Sequence[str], acts: list[Act], course: Course, output: Output) -> None:
    quiet = output is Output.JSON
    async with ApiClient(api) as client:
        answers = [await one.find(client, id_) for id_ in ids]
        if listing.is_bulk(answers[0].body) and len(ids) == 1:
            await bulk.follow(client, course, answers[0], quiet=quiet)
            return
        acts += [Act.of(answer.body) for answer in answers if not listing.is_bulk(answer.body)]
        if len(acts) < len(ids):
            raise StandaloneError("a bulk operation is followed by itself: give one id")
        with shown(acts, quiet=quiet) as screen:
            for act in acts:
                screen.show(act)
            await wait(client, acts, answers[0].position, screen.show, screen.notify)


def watch(api: Api, filters: Filters, limit: int, output: Output) -> None:
    """Print the newest operations, oldest first, and then each step of one, until Ctrl-C."""
    try:
        asyncio.run(_watch(api, filters, limit, output))
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


_WIDTHS = (36, 10, 24, 12, 9, 4, 4, 8)
"""Of the columns but the last: the rows to come are not known yet."""


async def _watch(api: Api, filters: Filters, limit: int, output: Output) -> None:
    def show(operation: Json) -> None:
        is_json = output is Output.JSON
        typer.echo(json.dumps(operation) if is_json else _cells(listing.row(operation, datetime.now(UTC))))

    if output is Output.TEXT:
        typer.echo(_cells(listing.HEADER))
    async with ApiClient(api) as client:
        await watching.watch(client, filters, limit, show, Lines(quiet=False).notify)


def _cells(row: Sequence[object]) -> str:
    cells = ["" if cell is None else str(cell) for cell in row]
    padded = [cell.ljust(width) for cell, width in zip(cells, _WIDTHS, strict=False)]
    return (" " * GAP).join([*padded, *cells[len(_WIDTHS) :]]).rstrip()


def change(api: Api, ids: Sequence[str], what: Change, output: Output) -> bool:
    """Cancel, pause or resume these operations, and print what they are now; whether the api has accepted each."""
    return asyncio.run(_change(api, ids, what, output))


async def _change(api: Api, ids: Sequence[str], what: Change, output: Output) -> bool:
    items, errors = [], []
    async with ApiClient(api) as client:
        for id_ in ids:
            try:
                items.append(await one.change(client, id_, what))
            except ApiError as error:
                errors.append(str(error))
    if output is Output.JSON:
        typer.echo(json.dumps({"items": items}, indent=2))
    for operation in items if output is Output.TEXT else ():
        typer.echo(one.line_of(operation))
    for sentence in errors:
        typer.echo(f"summit-connect: {sentence}", err=True)
    return not errors
