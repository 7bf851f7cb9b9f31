"""The VMs that a person means: by name, by namespace/name, or by id.

Nothing is done unless each of them is exactly one VM: a name that two VMs have is a question back, not a guess.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from summit_standalone.commands.table import render
from summit_standalone.errors import StandaloneError
from summit_standalone.operating.act import full_name
from summit_standalone.remote.client import ApiClient, ApiError, Json, Query

_SHOWN = 10
"""Candidates for one name. More do not help a person to choose."""
_MEMBERS = "id,name,namespace,cluster,datacenter,status"
_SCOPES = ("datacenter", "cluster", "namespace")


@dataclass(frozen=True)
class Scope:
    """Where to look: values of `--datacenter`, `--cluster` and `--namespace`. None is everywhere."""

    datacenter: Sequence[str] = ()
    cluster: Sequence[str] = ()
    namespace: Sequence[str] = ()

    def query(self) -> list[tuple[str, str]]:
        return [(name, value) for name in _SCOPES for value in getattr(self, name)]

    def has(self, vm: Json) -> bool:
        return all(vm[name] in values for name in _SCOPES if (values := getattr(self, name)))

    def __str__(self) -> str:
        named = (f"{name} {' or '.join(values)}" for name in _SCOPES if (values := getattr(self, name)))
        return ", ".join(named)


class Found(NamedTuple):
    """`position` is where a feed begins that has every later step."""

    vms: list[Json]
    position: str


class _Candidates(NamedTuple):
    vms: Sequence[Json]
    total: int
    position: str


async def find(client: ApiClient, words: Sequence[str], scope: Scope) -> Found:
    """Each VM once, in the order of the words. Raises StandaloneError for every word that is not exactly one VM."""
    found = [await _candidates(client, word, scope) for word in words]
    wrong = [
        problem
        for word, candidates in zip(words, found, strict=True)
        if (problem := _problem(word, candidates.vms, candidates.total, scope))
    ]
    if wrong:
        raise StandaloneError("\n".join([*wrong, "nothing was done"]))
    vms = {(vm["id"], vm["cluster"]): vm for candidates in found for vm in candidates.vms}
    return Found(list(vms.values()), found[0].position)


async def _candidates(client: ApiClient, word: str, scope: Scope) -> _Candidates:
    if is_id(word) and (found := await _by_id(client, word, scope)):
        return found
    namespace, _, name = word.rpartition("/")
    query: Query = [*scope.query(), ("name", name), ("fields", _MEMBERS), ("limit", str(_SHOWN)), ("count", "true")]
    if namespace:
        query = [*(pair for pair in query if pair[0] != "namespace"), ("namespace", namespace)]
    answer = await client.get("/api/v1/vms", query)
    return _Candidates(answer.body["items"], answer.body["count"], answer.position)


async def _by_id(client: ApiClient, word: str, scope: Scope) -> _Candidates | None:
    """None if no VM has the id there: it may be a name."""
    only = [("cluster", scope.cluster[0])] if len(scope.cluster) == 1 else []
    try:
        vm, position = await client.get(f"/api/v1/vms/{word}", only)
    except ApiError as error:
        if error.status == 404:
            return None
        if clusters := error.problem.get("clusters"):
            names = ", ".join(filter(None, clusters))
            raise StandaloneError(
                f"several clusters show the VM {word}: choose one with --cluster ({names})"
            ) from error
        raise
    return _Candidates([vm], 1, position) if scope.has(vm) else None


def is_id(word: str) -> bool:
    try:
        return str(UUID(word)) == word.lower()
    except ValueError:
        return False


def _problem(word: str, vms: Sequence[Json], total: int, scope: Scope) -> str | None:
    """Why the word is not exactly one VM."""
    if total == 1:
        return None
    if not vms:
        where = f" in {scope}" if str(scope) else ""
        return f"there is no VM {word}{where}, or you may not see it"
    header = ("NAME", "CLUSTER", "DATACENTER", "STATUS", "ID")
    rows = [(full_name(vm), vm["cluster"], vm["datacenter"], vm["status"], vm["id"]) for vm in vms]
    more = [f"  … and {total - len(vms)} more"] if total > len(vms) else []
    table = [f"  {line}" for line in render(header, rows).splitlines()]
    return "\n".join([f"{total} VMs are called {word}:", *table, *more, f"choose one {_how(vms)}"])


def _how(vms: Sequence[Json]) -> str:
    """The ways in which these differ."""
    ways = []
    if len({vm["namespace"] for vm in vms}) > 1:
        ways.append(f"by its namespace ({full_name(vms[0])})")
    for name in ("cluster", "datacenter"):
        values = {vm[name]: None for vm in vms}
        if len(values) > 1:
            ways.append(f"with --{name} {next(filter(None, values))}")
    return ", ".join([*ways, "or by its id"]) if ways else "by its id"
