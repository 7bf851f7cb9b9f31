"""`summit-connect operations`, as a command: list, show, watch and cancel."""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime

import typer

from summit_standalone.commands.table import GAP
from summit_standalone.errors import StandaloneError
from summit_standalone.operating.act import Act, as_json
from summit_standalone.operating.acting import INTERRUPTED, leaving
from summit_standalone.operating.screen import Lines, line, shown
from summit_standalone.operating.waiting import wait
from summit_standalone.operations import listing
from summit_standalone.operations.listing import Filters
from summit_standalone.options import Output
from summit_standalone.remote.address import Api
from summit_standalone.remote.client import ApiClient, ApiError, Json


def list_(api: Api, filters: Filters, limit: int, output: Output) -> None:
    """Print the newest operations."""
    items = asyncio.run(_page(api, filters, limit))
    typer.echo(
        json.dumps({"items": items}, indent=2) if output is Output.JSON else listing.as_text(items, datetime.now(UTC))
    )


async def _page(api: Api, filters: Filters, limit: int) -> list[Json]:
    async with ApiClient(api) as client:
        return (await listing.page(client, filters, limit))[0]


def show(api: Api, ids: Sequence[str], output: Output) -> None:
    """Print these operations with their steps."""
    found = asyncio.run(_show(api, ids))
    if output is Output.JSON:
        items = [{**operation, "steps": steps} for operation, steps in found]
        typer.echo(json.dumps({"items": items}, indent=2))
        return
    typer.echo("\n\n".join(listing.described(operation, steps) for operation, steps in found))


async def _show(api: Api, ids: Sequence[str]) -> list[tuple[Json, Sequence[Json]]]:
    async with ApiClient(api) as client:
        return [await listing.show(client, id_) for id_ in ids]


def follow(api: Api, ids: Sequence[str], output: Output) -> bool:
    """Wait until these operations have ended, showing each step; whether all have succeeded."""
    acts: list[Act] = []
    with leaving(acts):
        asyncio.run(_follow(api, ids, acts, output))
    if output is Output.JSON:
        typer.echo(json.dumps(as_json(acts), indent=2))
    return all(act.has_succeeded for act in acts)


async def _follow(api: Api, ids: Sequence[str], acts: list[Act], output: Output) -> None:
    async with ApiClient(api) as client:
        answers = [await client.get(f"/api/v1/operations/{id_}") for id_ in ids]
        acts += [Act.of(answer.body) for answer in answers]
        with shown(acts, quiet=output is Output.JSON) as screen:
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
        await listing.watch(client, filters, limit, show, Lines(quiet=False).notify)


def _cells(row: Sequence[object]) -> str:
    cells = ["" if cell is None else str(cell) for cell in row]
    padded = [cell.ljust(width) for cell, width in zip(cells, _WIDTHS, strict=False)]
    return (" " * GAP).join([*padded, *cells[len(_WIDTHS) :]]).rstrip()


def cancel(api: Api, ids: Sequence[str], output: Output) -> bool:
    """Cancel these operations, and print what they are now; whether the api has accepted each."""
    return asyncio.run(_cancel(api, ids, output))


async def _cancel(api: Api, ids: Sequence[str], output: Output) -> bool:
    items, errors = [], []
    async with ApiClient(api) as client:
        for id_ in ids:
            try:
                items.append(await client.send("DELETE", f"/api/v1/operations/{id_}"))
            except ApiError as error:
                errors.append(str(error))
    if output is Output.JSON:
        typer.echo(json.dumps({"items": items}, indent=2))
    else:
        for operation in items:
            typer.echo(line(Act.of(operation)))
    if errors and not items:
        raise StandaloneError("\n".join(errors))
    for sentence in errors:
        typer.echo(f"summit-connect: {sentence}", err=True)
    return not errors
