"""The commands that act on VMs. An action is an entry of `_ACTIONS`, and so is each of its options."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from summit_standalone.operating.parameters import labels, mebibytes, seconds
from summit_standalone.options import API_OPTIONS, with_options

app = typer.Typer()

PANEL = "Act on virtual machines"
_CHOICE = "Which virtual machines: where to look for names, or filters that choose all that match"
_MANY = "Limits for VMs chosen by filters"
_several = list[str] | None
_VMS = Annotated[_several, typer.Argument(metavar="[VM...]", help="Name, namespace/name or id.", show_default=False)]


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


_FILTERS: Mapping[str, tuple[str, Any]] = {
    "namespace": ("namespace", typer.Option("-n", "--namespace", help="VMs in this namespace.")),
    "cluster": ("cluster", typer.Option("--cluster", help="VMs in this cluster.")),
    "datacenter": ("datacenter", typer.Option("--datacenter", help="VMs in this datacenter.")),
    "selector": ("label", typer.Option("-l", "--selector", help="VMs with these labels, as in kubectl: app=web.")),
    "status": ("status", typer.Option("--status", help="VMs in this status, such as running.")),
    "on_node": ("node", typer.Option("--on-node", help="VMs that run on this node.")),
    "search": ("q", typer.Option("--search", help="VMs with these words in name, node, address or guest OS.")),
}
"""The filter of the list that each option is. Repeat one for "or"; different ones mean "and"."""
_PLACES = ("datacenter", "cluster", "namespace")
"""These also say where to look for names."""

_LIMITS: Mapping[str, tuple[str, Any]] = {
    "per_cluster": (
        "maxParallelPerCluster",
        typer.Option("--max-per-cluster", min=1, help="VMs of one cluster at the same time."),
    ),
    "per_node": ("maxParallelPerNode", typer.Option("--max-per-node", min=1, help="VMs of one node at the same time.")),
    "max_failures": (
        "maxFailures",
        typer.Option("--max-failures", min=1, help="Begin no further VM after so many failures. Default: 5."),
    ),
}
"""The member of the request for many VMs that each option is."""

_COMMON: Mapping[str, tuple[Any, Any]] = {
    "dry_run": (
        Annotated[
            bool,
            typer.Option(
                "--dry-run", help="Do nothing. Named VMs: let Kubernetes check the request. By filters: list the VMs."
            ),
        ],
        False,
    ),
    "no_wait": (
        Annotated[bool, typer.Option("--no-wait", help="Print the ids of the operations and do not wait.")],
        False,
    ),
    "yes": (Annotated[bool, typer.Option("-y", "--yes", help="Do not ask for a confirmation.")], False),
    **API_OPTIONS,
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
        members = {o.member: o.read(given[key]) for key, o in options.items() if _is_given(given[key])}
        do = _act_on_names if _are_named(given) else _act_by_filters
        raise typer.Exit(0 if do(name, members, given) else 1)

    own = {key: (option.annotation, False if option.member in _FLAGS else None) for key, option in options.items()}
    filters = {key: (Annotated[_several, _in_panel(option, _CHOICE)], None) for key, (_, option) in _FILTERS.items()}
    everything = typer.Option("--all", help="All VMs that you may see.", rich_help_panel=_CHOICE)
    limits = {key: (Annotated[int | None, _in_panel(option, _MANY)], None) for key, (_, option) in _LIMITS.items()}
    parameters = {"vms": (_VMS, None), **own, **_COMMON, **filters, "all": (Annotated[bool, everything], False)}
    return with_options(run, {**parameters, **limits})


def _is_given(value: object) -> bool:
    """0 is given, although it equals False."""
    return value is not None and value is not False and value != []


def _in_panel(option: Any, panel: str) -> Any:
    option.rich_help_panel = panel
    return option


def _are_named(given: Mapping[str, Any]) -> bool:
    """Whether VMs are named, and not chosen by filters. Raises UsageError for both and for neither."""
    by_filters = [key for key in (*_FILTERS, "all", *_LIMITS) if given[key] and key not in _PLACES]
    if given["vms"] and by_filters:
        option = f"--{by_filters[0].replace('_', '-')}"
        raise typer.BadParameter(f"name the VMs, or choose them by filters: {option} is not for VMs that are named")
    if not given["vms"] and not any(given[key] for key in (*_FILTERS, "all")):
        raise typer.BadParameter("which VMs? Name them, choose them by filters such as -l, or take --all")
    return bool(given["vms"])


def _how(given: Mapping[str, Any]) -> Any:
    from summit_standalone.operating.acting import How

    return How(wait=not given["no_wait"], output=given["output"], confirmed=given["yes"])


def _api(given: Mapping[str, Any]) -> Any:
    from summit_standalone.remote.address import find

    return find(given["url"], given["token_file"], given["data_dir"])


def _act_on_names(name: str, members: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    from summit_standalone.operating.acting import act
    from summit_standalone.operating.asking import Request
    from summit_standalone.operating.choice import Scope

    scope = Scope(**{key: given[key] or () for key in _PLACES})
    return act(_api(given), Request(name, members, dry_run=given["dry_run"]), given["vms"], scope, _how(given))


def _act_by_filters(name: str, members: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    from summit_standalone.bulk.acting import act, show_plan
    from summit_standalone.bulk.plan import BulkRequest

    filters = {parameter: given[key] for key, (parameter, _) in _FILTERS.items() if given[key]}
    limits = {member: given[key] for key, (member, _) in _LIMITS.items() if given[key]}
    request = BulkRequest(name, members, filters, limits)
    if given["dry_run"]:
        return show_plan(_api(given), request, given["output"])
    return act(_api(given), request, _how(given))


_FLAGS = frozenset({"force", "paused"})

for _name, _action in _ACTIONS.items():
    app.command(_name, help=_action.help, rich_help_panel=PANEL)(_command(_name, _action))
