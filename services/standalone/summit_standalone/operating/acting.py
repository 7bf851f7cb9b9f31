"""`summit-connect start web`, and so on: find the VMs, ask for the operations, wait for their outcome."""

import asyncio
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import typer

from summit_standalone.errors import StandaloneError
from summit_standalone.operating import choice
from summit_standalone.operating.act import Act, Unanswered, as_json
from summit_standalone.operating.asking import DELETE, Request, ask
from summit_standalone.operating.choice import Found, Scope
from summit_standalone.operating.confirmation import confirm_names
from summit_standalone.operating.screen import Lines, shown
from summit_standalone.operating.waiting import wait
from summit_standalone.options import Output
from summit_standalone.remote.address import Api
from summit_standalone.remote.client import ApiClient, ApiError

INTERRUPTED = 130
"""128 and the number of SIGINT, as shells have it."""
_NAMED = 5
"""More ids in one line help nobody."""


@dataclass(frozen=True)
class How:
    wait: bool
    output: Output
    confirmed: bool


def act(api: Api, request: Request, words: Sequence[str], scope: Scope, how: How) -> bool:
    """Act on the VMs that these words name; whether every operation has succeeded, or was asked for without `how.wait`.

    Raises StandaloneError if nothing was done, and typer.Exit at Ctrl-C.
    """
    acts: list[Act] = []
    with leaving(lambda: going_on(acts)), asyncio.Runner() as runner:
        found = runner.run(_find(api, words, scope))
        if request.action == DELETE and not (how.confirmed or request.dry_run):
            confirm_names(found.vms)
        acts += [Act(request.action, vm) for vm in found.vms]
        runner.run(_act(api, request, acts, found.position, how))
    if how.output is Output.JSON:
        typer.echo(json.dumps(as_json(acts), indent=2))
    return _concluded(acts, how)


async def _find(api: Api, words: Sequence[str], scope: Scope) -> Found:
    async with ApiClient(api) as client:
        return await choice.find(client, words, scope)


async def _act(api: Api, request: Request, acts: Sequence[Act], position: str, how: How) -> None:
    async with ApiClient(api) as client:
        if not how.wait:
            await ask(client, request, acts, lambda _: None)
            _print_ids(acts, how.output)
            return
        with shown(acts, quiet=how.output is Output.JSON) as screen:
            await ask(client, request, acts, screen.show)
            await wait(client, acts, position, screen.show, screen.notify)


def _print_ids(acts: Sequence[Act], output: Output) -> None:
    """The id of each operation for scripts, in the order of the VMs."""
    lines = Lines(quiet=output is Output.JSON)
    for act in acts:
        if act.operation is None:
            lines.show(act)
        elif output is Output.TEXT:
            typer.echo(act.operation["id"])


def _concluded(acts: Sequence[Act], how: How) -> bool:
    """Whether all is well; where it is not, print how many did not succeed, and where their steps are."""
    good = [act for act in acts if (act.has_succeeded if how.wait else act.operation)]
    if len(good) == len(acts):
        return True
    failed = [act.operation["id"] for act in acts if act.operation and act not in good]
    steps = f"; summit-connect operations {' '.join(failed)} shows the steps" if 0 < len(failed) <= _NAMED else ""
    if len(acts) > 1 or steps:
        sys.stderr.write(f"summit-connect: {len(acts) - len(good)} of {len(acts)} did not succeed{steps}\n")
    return False


@contextmanager
def leaving(goes_on: Callable[[], Sequence[str]]) -> Iterator[None]:
    """Print what goes on without us when the block ends early.

    Raises typer.Exit with code 130 at Ctrl-C, and StandaloneError when the api refuses or is away for too long.
    """
    try:
        yield
    except ApiError as error:
        raise StandaloneError("\n".join([str(error), *goes_on()])) from error
    except KeyboardInterrupt:
        lines = "\n".join(goes_on() or ["no operation goes on"])
        sys.stderr.write(f"\nsummit-connect: interrupted: {lines}\n")
        raise typer.Exit(INTERRUPTED) from None


def going_on(acts: Sequence[Act]) -> list[str]:
    """What goes on without us, and the commands to follow and to cancel it."""
    ids = [act.operation["id"] for act in acts if act.operation and not act.has_ended]
    named = " ".join(ids) if len(ids) <= _NAMED else "ID"
    lines = ["the operation goes on" if len(ids) == 1 else f"{len(ids)} operations go on"] if ids else []
    lines += [
        f"  to {what}: summit-connect operations {command} {named}"
        for what, command in (("follow", "-w"), ("cancel", "cancel"))
        if ids
    ]
    if asking := ", ".join(act.name for act in acts if act.state == Unanswered.ASKING):
        lines += [f"whether the api has the request for {asking} is not known, summit-connect operations shows it"]
    return lines
