"""Ask the api for an operation on each VM. One VM's refusal holds up no other."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from summit_standalone.operating.act import Act
from summit_standalone.remote.client import ApiClient, ApiError, Json

_TOGETHER = 4
"""Requests at the same time. The api stores the operations of one cluster one after the other."""

DELETE = "delete"


@dataclass(frozen=True)
class Request:
    """What to do to each VM."""

    action: str
    parameters: Json
    dry_run: bool = False


async def ask(client: ApiClient, request: Request, acts: Sequence[Act], show: Callable[[Act], None]) -> None:
    """Give each act its operation, or the error with which the api answers. `show` gets each act that has changed."""
    limit = asyncio.Semaphore(_TOGETHER)

    async def one(act: Act) -> None:
        async with limit:
            try:
                act.operation = await _send(client, request, act)
            except ApiError as error:
                act.error = error
            show(act)

    async with asyncio.TaskGroup() as group:
        for act in acts:
            group.create_task(one(act))


async def _send(client: ApiClient, request: Request, act: Act) -> Json:
    vm = act.vm
    query = [("cluster", vm["cluster"] or "")] + ([("dryRun", "true")] if request.dry_run else [])
    method, path = "POST", f"/api/v1/vms/{vm['id']}/{request.action}"
    if request.action == DELETE:
        method, path = "DELETE", f"/api/v1/vms/{vm['id']}"
        query += [("name", vm["name"])]
    operation: Json = await client.send(method, path, query, body=request.parameters, key=act.key)
    return operation
