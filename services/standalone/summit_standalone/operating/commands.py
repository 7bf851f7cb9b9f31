"""The commands that act on VMs. An action is an entry of `_ACTIONS`, and so is each of its options."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from summit_standalone.operating.parameters import labels, mebibytes, seconds
from summit_standalone.options import DataDirOption, Output, OutputOption, TokenFileOption, UrlOption

app = typer.Typer()

PANEL = "Act on virtual machines"
_several = list[str] | None


@dataclass(frozen=True)
class _Option:
    """`member` is its name in the body of the request."""

    annotation: Any
    member: str
    read: Callable[[Any], Any] = lambda value: value


@dataclass(frozen=True)
class _Action:
    help: str
    options: Mapping[str, _Option]


_COMMON: Mapping[str, tuple[Any, Any]] = {
    "vms": (Annotated[list[str], typer.Argument(metavar="VM...", help="Name, namespace/name or id.")], ...),
    "namespace": (
        Annotated[_several, typer.Option("-n", "--namespace", help="Look for names here; repeat for more.")],
        None,
    ),
    "cluster": (Annotated[_several, typer.Option("--cluster", help="The same for clusters.")], None),
    "datacenter": (Annotated[_several, typer.Option("--datacenter", help="The same for datacenters.")], None),
    "dry_run": (
        Annotated[bool, typer.Option("--dry-run", help="Let Kubernetes check the request; nothing is done.")],
        False,
    ),
    "no_wait": (
        Annotated[bool, typer.Option("--no-wait", help="Print the ids of the operations and do not wait.")],
        False,
    ),
    "yes": (Annotated[bool, typer.Option("-y", "--yes", help="Do not ask for a confirmation.")], False),
    "output": (OutputOption, Output.TEXT),
    "url": (UrlOption, None),
    "token_file": (TokenFileOption, None),
    "data_dir": (DataDirOption, None),
}
"""Name of each parameter, its type and its default."""

_TIMEOUT = _Option(
    Annotated[
        int | None,
        typer.Option(
            "--timeout",
            parser=seconds,
            metavar="DURATION",
            help="It fails if it has not ended by then: 90s, 10m. The default depends on the action.",
            show_default=False,
        ),
    ],
    "timeout",
)
_FORCE = _Option(
    Annotated[bool, typer.Option("--force", help="Do not wait for the guest: a grace period of 0.")], "force"
)
_STOP = {
    "grace_period": _Option(
        Annotated[
            int | None,
            typer.Option("--grace-period", metavar="SECONDS", min=0, help="Time for the guest to shut down."),
        ],
        "gracePeriodSeconds",
    ),
    "force": _FORCE,
}
_ACTIONS: Mapping[str, _Action] = {
    "start": _Action(
        "Start VMs that are stopped.",
        {"paused": _Option(Annotated[bool, typer.Option("--paused", help="Do not run the guest yet.")], "paused")},
    ),
    "stop": _Action("Stop VMs: the guest is asked to shut down, and ended after its grace period.", _STOP),
    "restart": _Action("Stop VMs and start them again, perhaps on another node.", {"force": _FORCE}),
    "pause": _Action("Freeze the guest of VMs; it keeps its memory and its node.", {}),
    "unpause": _Action("Let paused guests continue.", {}),
    "softreboot": _Action("Ask guests to reboot, through their agent or ACPI.", {}),
    "reset": _Action("Reset guests at once, as the button of a machine does.", {}),
    "migrate": _Action(
        "Migrate VMs live to another node of their cluster.",
        {
            "node_selector": _Option(
                Annotated[
                    _several,
                    typer.Option("--node-selector", metavar="KEY=VALUE", help="Label of the node that it may go to."),
                ],
                "nodeSelector",
                labels,
            )
        },
    ),
    "resize": _Action(
        "Change the virtual CPUs and the memory of VMs, live where KubeVirt can, else at the next start.",
        {
            "cpu": _Option(Annotated[int | None, typer.Option("--cpu", min=1, help="Virtual CPUs.")], "cpu"),
            "memory": _Option(
                Annotated[
                    int | None,
                    typer.Option(
                        "--memory", parser=mebibytes, metavar="SIZE", help="Memory of the guest: 4Gi, 4096Mi."
                    ),
                ],
                "memory",
            ),
        },
    ),
    "delete": _Action("Delete VMs and what they own, their disks from templates too.", _STOP),
}


def _command(name: str, action: _Action) -> Callable[..., None]:
    """The function of a command, with the signature that typer makes its options from."""
    options = {**action.options, "timeout": _TIMEOUT}

    def run(**given: Any) -> None:
        from summit_standalone.operating.acting import How, act
        from summit_standalone.operating.asking import Request
        from summit_standalone.operating.choice import Scope
        from summit_standalone.remote.address import find

        members = {o.member: o.read(given[key]) for key, o in options.items() if given[key] not in (None, False, [])}
        scope = Scope(*(given[key] or () for key in ("datacenter", "cluster", "namespace")))
        how = How(wait=not given["no_wait"], output=given["output"], confirmed=given["yes"])
        api = find(given["url"], given["token_file"], given["data_dir"])
        is_well = act(api, Request(name, members, dry_run=given["dry_run"]), given["vms"], scope, how)
        raise typer.Exit(0 if is_well else 1)

    unset = {key: (option.annotation, False if option.member in _FLAGS else None) for key, option in options.items()}
    first, *rest = _COMMON.items()
    parameters = dict([first, *unset.items(), *rest])
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(
                key,
                inspect.Parameter.KEYWORD_ONLY,
                default=inspect.Parameter.empty if default is ... else default,
                annotation=annotation,
            )
            for key, (annotation, default) in parameters.items()
        ]
    )
    return run


_FLAGS = frozenset({"force", "paused"})

for _name, _action in _ACTIONS.items():
    app.command(_name, help=_action.help, rich_help_panel=PANEL)(_command(_name, _action))
