"""`summit-connect operations`, and the commands below it."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import typer
import typer.core

from summit_standalone.operating.parameters import ago
from summit_standalone.options import API_OPTIONS, with_options


class _ListByDefault(typer.core.TyperGroup):
    """`operations` and `operations ID` mean `operations list` and `operations list ID`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or args[0] not in {*self.commands, "-h", "--help"}:
            args = ["list", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_ListByDefault,
    help="List, show, watch and cancel operations: what was asked to be done to VMs, by whom, and how it ended. "
    "Without a command it lists: `operations`, `operations ID`, `operations -w`; see `operations list --help`.",
)

_FILTERS: Mapping[str, tuple[str, str]] = {
    "namespace": ("-n", "In this namespace."),
    "cluster": ("", "In this cluster."),
    "datacenter": ("", "In this datacenter."),
    "vm": ("", "On the VM with this id."),
    "action": ("", "With this action, such as migrate."),
    "state": ("", "In this state, such as failed."),
    "by": ("", "Asked for by this token or person."),
    "parent": ("", "Parts of this bulk operation."),
}
"""Filters of the list, which are options of the same name: their short form and what they select."""
_PANEL = "Which operations: repeat a filter for more values of it"


def _filter(name: str, short: str, text: str) -> Any:
    names = [short, f"--{name}"] if short else [f"--{name}"]
    return Annotated[list[str] | None, typer.Option(*names, help=text, rich_help_panel=_PANEL)]


_LIST: Mapping[str, tuple[Any, Any]] = {
    "ids": (Annotated[list[str] | None, typer.Argument(metavar="[ID...]", help="Show these, with their steps.")], None),
    "watch": (
        Annotated[
            bool,
            typer.Option(
                "-w",
                "--watch",
                help="Print each step as it happens. With ids: until they have ended; exit code 0 if all succeeded.",
            ),
        ],
        False,
    ),
    "limit": (Annotated[int, typer.Option("--limit", min=1, help="At most so many, the newest ones.")], 50),
    **API_OPTIONS,
    **{name: (_filter(name, short, text), None) for name, (short, text) in _FILTERS.items()},
    "active": (
        Annotated[bool, typer.Option("--active", help="Those that have not ended.", rich_help_panel=_PANEL)],
        False,
    ),
    "since": (
        Annotated[
            str | None,
            typer.Option(
                "--since", parser=ago, metavar="TIME", help="Later ones: 2h, or a time.", rich_help_panel=_PANEL
            ),
        ],
        None,
    ),
    "bulk": (
        Annotated[bool, typer.Option("--bulk", help="Those on many VMs at once.", rich_help_panel=_PANEL)],
        False,
    ),
}


def _list(**given: Any) -> None:
    """List operations, newest first; or show those with these ids, and their steps."""
    from summit_standalone.operations import looking

    ids, output, filters = given["ids"] or (), given["output"], _given_filters(given)
    if ids and (filters or given["bulk"]):
        raise typer.BadParameter("filters are for lists: leave out either the ids or the filters")
    if given["bulk"] and given["watch"]:
        raise typer.BadParameter("a bulk operation is watched by its id: operations -w ID")
    api = _api(given)
    match bool(ids), given["watch"]:
        case True, True:
            raise typer.Exit(0 if looking.follow(api, ids, output) else 1)
        case True, False:
            looking.show(api, ids, output)
        case False, True:
            looking.watch(api, filters, given["limit"], output)
        case _:
            looking.list_(api, filters, given["limit"], output, is_bulk=given["bulk"])


def _given_filters(given: Mapping[str, Any]) -> dict[str, list[str]]:
    filters = {name: given[name] for name in _FILTERS if given[name]}
    filters |= {"ended": ["false"]} if given["active"] else {}
    return filters | ({"since": [given["since"]]} if given["since"] else {})


def _api(given: Mapping[str, Any]) -> Any:
    from summit_standalone.remote.address import find

    return find(given["url"], given["token_file"], given["data_dir"])


app.command("list")(with_options(_list, _LIST))

_CHANGES: Mapping[Literal["cancel", "pause", "resume"], str] = {
    "cancel": "Cancel operations. One that is pending is canceled at once, and a migration in flight is aborted.\n\n"
    "Other requests that the cluster has accepted cannot be taken back: their outcome is reported as it is. A bulk "
    "operation begins no further VM, and its parts are canceled in the same way.",
    "pause": "Let bulk operations begin no further VM. What is under way goes on.",
    "resume": "Let paused bulk operations go on.",
}
_IDS = Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of operations.")]


def _change(what: Literal["cancel", "pause", "resume"]) -> Callable[..., None]:
    def run(**given: Any) -> None:
        from summit_standalone.operations import looking

        raise typer.Exit(0 if looking.change(_api(given), given["ids"], what, given["output"]) else 1)

    return with_options(run, {"ids": (_IDS, ...), **API_OPTIONS})


for _name, _help in _CHANGES.items():
    app.command(_name, help=_help)(_change(_name))
