"""What a bulk operation would do, and asking for exactly that.

The api answers a request without `confirm` with the VMs and a token that stands for them. The same request with the
token is stored only if the VMs are still the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from summit_runtime.printable import printable
from summit_standalone.commands.table import render
from summit_standalone.operating.act import full_name
from summit_standalone.remote.client import ApiClient, ApiError, Json, Query

_PATH = "/api/v1/operations:bulk"
_LIST_CHANGED = "/docs#list-changed"
SHOWN = 20
"""Lines before a question. More would push its beginning off the screen."""
_LONGEST = 400

Filters = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class BulkRequest:
    """`filters` are those of the list of VMs; `limits` are members of the request, such as `maxFailures`."""

    action: str
    parameters: Json
    filters: Filters
    limits: Json

    def query(self) -> Query:
        return [(name, value) for name, values in self.filters.items() for value in values]

    def body(self, confirm: str | None = None) -> Json:
        confirmed = {"confirm": confirm} if confirm else {}
        return {"action": self.action, "parameters": self.parameters, **self.limits, **confirmed}


class ListChanged(Exception):
    """The VMs are not those that were confirmed, and nothing was stored."""

    def __init__(self, plan: Json) -> None:
        super().__init__("the list has changed meanwhile")
        self.plan = plan


async def ask_plan(client: ApiClient, request: BulkRequest) -> Json:
    """The VMs that would be acted on, those that would be refused, and the token."""
    plan: Json = await client.send("POST", _PATH, request.query(), body=request.body())
    return plan


async def store(client: ApiClient, request: BulkRequest, confirm: str, key: str) -> Json:
    """The bulk operation. Raises ListChanged, and ApiError."""
    try:
        stored: Json = await client.send("POST", _PATH, request.query(), body=request.body(confirm), key=key)
    except ApiError as error:
        if error.problem.get("type") == _LIST_CHANGED:
            raise ListChanged(error.problem) from error
        raise
    return stored


def as_text(action: str, plan: Json, shown: int | None = None) -> str:
    """Two tables: the VMs that it would act on, and those that are refused, with the reason."""
    parts = []
    if vms := plan["vms"]:
        rows = [(full_name(vm), vm["cluster"], vm["nodeName"], vm["status"]) for vm in vms[:shown]]
        parts.append(f"{action} acts on {counted(len(vms))}:\n" + render(("NAME", "CLUSTER", "NODE", "STATUS"), rows))
        parts += _more(vms, shown)
    if refused := plan["refused"]:
        rows = [(full_name(vm), vm["cluster"], vm["status"], printable(vm["detail"], _LONGEST)) for vm in refused]
        table = render(("NAME", "CLUSTER", "STATUS", "WHY"), rows[:shown])
        parts.append(f"{counted(len(refused))} would be refused and {_stay(len(refused))}:\n{table}")
        parts += _more(refused, shown)
    return "\n".join(parts) or "no VM matches"


def counted(number: int) -> str:
    return f"{number} VM{'' if number == 1 else 's'}"


def _stay(number: int) -> str:
    return "stays as it is" if number == 1 else "stay as they are"


def _more(rows: Sequence[object], shown: int | None) -> list[str]:
    return [f"… and {len(rows) - shown} more; --dry-run shows all"] if shown is not None and len(rows) > shown else []
