"""`summit-connect stop -l app=web`: show what would be done, ask, and follow it to its end."""

import asyncio
import json
from collections.abc import Sequence
from uuid import uuid4

import typer

from summit_standalone.bulk.course import Course
from summit_standalone.bulk.following import PATH, read_parts, to_its_end
from summit_standalone.bulk.plan import SHOWN, BulkRequest, ListChanged, as_text, ask_plan, counted, store
from summit_standalone.bulk.screen import shown
from summit_standalone.errors import StandaloneError
from summit_standalone.operating.acting import How, leaving
from summit_standalone.operating.asking import DELETE
from summit_standalone.operating.confirmation import confirm, confirm_text, need_terminal
from summit_standalone.options import Output
from summit_standalone.remote.address import Api
from summit_standalone.remote.client import Answer, ApiClient, ApiError, Json

_ATTEMPTS = 10
"""VMs may change between the plan and its confirmation, but not every time."""
_UNKNOWN = "whether the api has the request is not known, summit-connect operations --bulk shows it"


def show_plan(api: Api, request: BulkRequest, output: Output) -> bool:
    """Print what would be done; whether there is anything to do."""
    plan = asyncio.run(_plan(api, request))
    typer.echo(json.dumps(plan, indent=2) if output is Output.JSON else as_text(request.action, plan))
    return bool(plan["vms"])


def act(api: Api, request: BulkRequest, how: How) -> bool:
    """Act on all VMs that the filters select, after a question; whether each has succeeded, or it was stored.

    Raises StandaloneError if nothing was done, and typer.Exit at Ctrl-C.
    """
    course, unknown = Course(), list[str]()
    with leaving(lambda: unknown or going_on(course)), asyncio.Runner() as runner:
        plan = runner.run(_plan(api, request))
        for _ in range(_ATTEMPTS):
            _ask(request, plan, how)
            try:
                course.take(runner.run(_store(api, request, plan["confirm"])))
                break
            except ListChanged as changed:
                plan = {**plan, **changed.plan}
                typer.echo("the VMs have changed meanwhile, and nothing was done yet", err=True)
            except (ApiError, KeyboardInterrupt) as error:
                if not (isinstance(error, ApiError) and error.status):
                    unknown.append(_UNKNOWN)
                raise
        else:
            raise StandaloneError("the VMs that match change all the time: nothing was done, try again")
        if how.wait:
            runner.run(_follow(api, course, plan["position"], how.output))
    return concluded(course, how)


async def _plan(api: Api, request: BulkRequest) -> Json:
    async with ApiClient(api) as client:
        return await ask_plan(client, request)


async def _store(api: Api, request: BulkRequest, confirm: str) -> Json:
    async with ApiClient(api) as client:
        return await store(client, request, confirm, str(uuid4()))


async def _follow(api: Api, course: Course, position: str, output: Output) -> None:
    async with ApiClient(api) as client:
        with shown(course, quiet=output is Output.JSON) as screen:
            await to_its_end(client, course, position, screen)
        course.take((await client.get(f"{PATH}/{course.id}")).body)


async def follow(client: ApiClient, course: Course, answer: Answer, *, quiet: bool) -> None:
    """Follow a bulk operation that somebody has begun, from this answer on."""
    course.take(answer.body)
    with shown(course, quiet=quiet) as screen:
        await read_parts(client, course, screen)
        await to_its_end(client, course, answer.position, screen)


def _ask(request: BulkRequest, plan: Json, how: How) -> None:
    """Show the plan and have it confirmed. Raises StandaloneError if there is nothing to do, or it is not."""
    vms: Sequence[Json] = plan["vms"]
    if not vms:
        raise StandaloneError(f"{as_text(request.action, plan)}\nnothing was done")
    if how.confirmed:
        return
    what = f"{request.action} of {counted(len(vms))}"
    need_terminal(what)
    typer.echo(as_text(request.action, plan, SHOWN), err=True)
    if request.action == DELETE:
        confirm_text(f"delete {len(vms)}", what)
    else:
        confirm(f"{request.action.capitalize()} {counted(len(vms))}?", what)


def concluded(course: Course, how: How) -> bool:
    """Print the outcome, or the id without waiting; whether all is well."""
    if how.output is Output.JSON:
        parts = [act.operation for act in course.parts.values()]
        typer.echo(json.dumps({"bulkOperation": course.operation, "items": parts}, indent=2))
    elif not how.wait:
        typer.echo(course.id)
    if not how.wait:
        return True
    if how.output is Output.TEXT:
        steps = "" if course.has_succeeded else f"; summit-connect operations --parent {course.id} shows each VM"
        prefix = "" if course.has_succeeded else "summit-connect: "
        typer.echo(f"{prefix}{course.text}{steps}", err=not course.has_succeeded)
    return course.has_succeeded


def going_on(course: Course) -> list[str]:
    """What goes on without us, and the commands to follow, to pause and to cancel it."""
    if not course.id or course.has_ended:
        return []
    return [
        f"the bulk operation goes on: {course.text}",
        f"  to follow: summit-connect operations -w {course.id}",
        f"  to pause:  summit-connect operations pause {course.id}",
        f"  to cancel: summit-connect operations cancel {course.id}",
    ]
