"""Every operation is asked what nobody thought of, over HTTP and real tables; each answer is as the document says.

The requests are schemathesis's, made from the document: valid ones, and ones that are wrong in one place.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings, strategies
from schemathesis import GenerationMode
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from support.api_stack import served
from support.builders import uid_of
from support.editing import Editing, editing
from support.published import cluster_event, migration_event, vm_event

from summit_api.operations.expiry import expire
from summit_api.settings import ApiTimes
from summit_models.cluster import ClusterHealth, ConnectionState
from summit_models.operation import Action
from summit_models.vm import VmStatus

EXAMPLES = 25
"""For each operation; ten times as many found nothing more."""

ENDLESS = "/api/v1/events"
"""A feed never ends; its own tests ask it."""

NOT_HERE = {501}
"""This version cannot do it, and answers so: that is not a failure of the server."""

KNOWN = {
    "datacenter": "dc-solna",
    "cluster": "vulcan",
    "namespace": "prod",
    "name": "erp",
    "vm_id": "by-hand",
    "migration_id": uid_of("prod", "m", "migration"),
    "vmId": "moving",
    "fromDC": "dc-solna",
    "toDC": "dc-uppsala",
}

ERP = uid_of("prod", "erp")
STATUS = {"start": VmStatus.STOPPED, "unpause": VmStatus.PAUSED}
"""What a VM must be for an action, unless it must run."""

NO_TOKENS = SchemathesisConfig.from_dict({"generation": {"with-security-parameters": False}})
"""Made-up tokens would make each answer a 401; requests without one are an admin's here."""

CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]


def cases(operation: Any) -> strategies.SearchStrategy[Any]:
    """Requests that the document allows, and, where there is something to be wrong, some that it does not."""
    allowed = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    if not (operation.path_parameters or operation.query or operation.body):
        return allowed  # type: ignore[no-any-return]
    return strategies.one_of(allowed, operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))


def acts(operation: Any) -> bool:
    """Whether it acts on a watched VM."""
    return operation.path.rpartition("/")[2] in {*Action} or operation.label == "DELETE /api/v1/vms/{vm_id}"


async def prepare(api: Editing, operation: Any, version: int) -> dict[str, str]:
    """What an operation acts on is there again, watched, in a state that allows it, and nothing acts on it.

    Returns the values that exist.
    """
    now = datetime.now(UTC)
    state = {"datacenter": "dc-solna", "state": ConnectionState.SYNCED, "since": now, "last_contact": now}
    api.services.freshness.note(ClusterHealth(name="vulcan", **state), now)
    await expire(api.client, api.services.read_models, now + timedelta(days=2), 0)
    for name in ("by-hand", "moving"):  # unless it is still there
        await api.ask("POST", "/admin/datacenters/dc-solna/vms", {"id": name, "name": name})
    status = STATUS.get(operation.path.rpartition("/")[2], VmStatus.RUNNING)
    await api.publish(vm_event("erp", status=status, live_migratable=True, versions=(version, 0)))
    if "{operation_id}" in operation.path:
        return KNOWN | {"operation_id": (await api.ask("POST", f"/vms/{ERP}/pause")).json()["id"]}
    if "{bulk_operation_id}" in operation.path:
        return KNOWN | {"bulk_operation_id": await bulk_operation(api)}
    return KNOWN | ({"vm_id": ERP} if acts(operation) else {})


async def bulk_operation(api: Editing) -> str:
    """The one that is there: nobody drives it, so its VM waits for ever."""
    path, body = "/operations:bulk?name=erp", {"action": "restart"}
    if confirm := (await api.ask("POST", path, body)).json()["confirm"]:
        await api.ask("POST", path, body | {"confirm": confirm})
    return str((await api.ask("GET", "/bulk-operations")).json()["items"][0]["id"])


def asking(operation: Any, base_url: str, statuses: set[int], known: dict[str, str]) -> Callable[[], None]:
    """Ask one operation many things, half of them about what exists. Raises for the first wrong answer."""

    @given(case=cases(operation), about_known=strategies.booleans())
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def ask(case: Any, about_known: bool) -> None:
        if about_known:
            case.path_parameters |= {name: known[name] for name in case.path_parameters if name in known}
            if acts(operation):
                case.query |= {name: [KNOWN[name]] for name in ("name", "cluster") if name in case.query}
                case.headers.pop("Idempotency-Key", None)  # generated ones are short, and used already
            if isinstance(case.body, dict):
                case.body |= {name: known[name] for name in case.body if name in known}
        if str(case.query.get("revision")).isdecimal():
            case.query["revision"] = "1"  # of the future: five seconds, and a 409, each time
        response = case.call(base_url=base_url, timeout=30)
        statuses.add(response.status_code)
        case.validate_response(response, checks=CHECKS)
        assert response.status_code < 500 or response.status_code in NOT_HERE, response.text

    return ask  # type: ignore[no-any-return]


@pytest.mark.slow
async def test_every_operation_answers_as_declared(nats_url: str, database_url: str) -> None:
    """For any request: status, type, headers and body are as declared, and never a 500."""
    async with editing(nats_url, database_url, times=ApiTimes(dry_run_seconds=0.1)) as api:
        await api.publish(cluster_event(), migration_event("m"))
        app = api.app
        schema = schemathesis.openapi.from_dict(app.openapi(), config=NO_TOKENS)
        statuses: dict[str, set[int]] = {}
        async with served(app) as base_url:
            for result in schema.get_all_operations():
                operation = result.ok()
                if operation.path != ENDLESS:
                    known = await prepare(api, operation, version=len(statuses) + 2)
                    seen = statuses.setdefault(operation.label, set())
                    await asyncio.to_thread(asking(operation, base_url, seen, known))
    assert len(statuses) == sum(map(len, app.openapi()["paths"].values())) - 1
    refused = {label: seen for label, seen in statuses.items() if all(status >= 400 for status in seen)}
    assert len(refused) < 0.2 * len(statuses), refused  # most were asked something that they take
