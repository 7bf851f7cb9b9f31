"""`summit-connect operations`, and the commands below it."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer
import typer.core

from summit_standalone.operating.parameters import ago
from summit_standalone.options import DataDirOption, Output, OutputOption, TokenFileOption, UrlOption


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

_IdsArgument = Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of operations.")]
_several = list[str] | None


@app.command("list")
def list_(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID...]", help="Show these, with their steps.", show_default=False)
    ] = None,
    *,
    watch: Annotated[
        bool,
        typer.Option(
            "-w",
            "--watch",
            help="Print each step as it happens. With ids until they have ended; the exit code is 0 if all succeeded.",
        ),
    ] = False,
    namespace: Annotated[_several, typer.Option("-n", "--namespace", help="Only in this namespace.")] = None,
    cluster: Annotated[_several, typer.Option("--cluster", help="Only in this cluster.")] = None,
    datacenter: Annotated[_several, typer.Option("--datacenter", help="Only in this datacenter.")] = None,
    vm: Annotated[_several, typer.Option("--vm", help="Only of the VM with this id.")] = None,
    action: Annotated[_several, typer.Option("--action", help="Only this action, such as migrate")] = None,
    state: Annotated[_several, typer.Option("--state", help="Only in this state, such as failed")] = None,
    by: Annotated[_several, typer.Option("--by", help="Only what this token or person asked for.")] = None,
    parent: Annotated[_several, typer.Option("--parent", help="Only parts of this bulk operation.")] = None,
    active: Annotated[bool, typer.Option("--active", help="Only those that have not ended.")] = False,
    since: Annotated[
        str | None,
        typer.Option("--since", parser=ago, metavar="TIME", help="Only later ones: 2h, or 2026-11-23T12:00:00Z."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many, the newest ones.")] = 50,
    output: OutputOption = Output.TEXT,
    url: UrlOption = None,
    token_file: TokenFileOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """List operations, newest first; or show those with these ids, and their steps.

    Repeat a filter for more values of it.
    """
    from summit_standalone.operations import looking
    from summit_standalone.remote.address import find

    api = find(url, token_file, data_dir)
    filters = {"namespace": namespace, "cluster": cluster, "datacenter": datacenter, "vm": vm, "action": action}
    filters |= {"state": state, "by": by, "parent": parent, "ended": ["false"] if active else None}
    given = {name: values for name, values in filters.items() if values}
    if since:
        given["since"] = [since]
    _check(ids or (), given)
    match bool(ids), watch:
        case True, True:
            raise typer.Exit(0 if looking.follow(api, ids or (), output) else 1)
        case True, False:
            looking.show(api, ids or (), output)
        case False, True:
            looking.watch(api, given, limit, output)
        case _:
            looking.list_(api, given, limit, output)


def _check(ids: Sequence[str], filters: object) -> None:
    if ids and filters:
        raise typer.BadParameter("filters are for lists: leave out either the ids or the filters")


@app.command()
def cancel(
    ids: _IdsArgument,
    *,
    output: OutputOption = Output.TEXT,
    url: UrlOption = None,
    token_file: TokenFileOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Cancel operations. One that is pending is canceled at once, and a migration in flight is aborted.

    Other requests that the cluster has accepted cannot be taken back: their outcome is reported as it is.
    """
    from summit_standalone.operations import looking
    from summit_standalone.remote.address import find

    raise typer.Exit(0 if looking.cancel(find(url, token_file, data_dir), ids, output) else 1)
