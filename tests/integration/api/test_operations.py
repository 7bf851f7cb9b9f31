"""Operations as people see them: their list, one, its steps, the VM's answer and history; cancel and expiry."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.acting import ERP, WATCHER, WEB, Acting, acting
from support.published import vm_event

from summit_api.operations.expiry import expire
from summit_models.operation import OperationState
from summit_models.vm import VmStatus

ABANDONED_SECONDS = 900.0


@pytest.fixture
async def api(nats_url: str, database_url: str) -> AsyncIterator[Acting]:
    async with acting(nats_url, database_url) as api:
        yield api


async def asked(api: Acting, path: str, body: Any = None) -> str:
    answer = await api.ask("POST", path, body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


async def listed(api: Acting, query: str = "") -> list[str]:
    return [item["id"] for item in (await api.ask("GET", f"/operations?{query}")).json()["items"]]


async def test_list_filters_and_pages(api: Acting) -> None:
    """Newest first; each filter by itself, and page by page without a gap."""
    start, stop = await asked(api, f"/vms/{WEB}/start"), await asked(api, f"/vms/{ERP}/stop")
    await api.claim(stop)
    await api.end(stop, OperationState.FAILED, "VM is not running")
    assert await listed(api) == [stop, start]
    filters = {
        f"vm={WEB}": [start],
        "action=stop": [stop],
        "state=pending": [start],
        "state=failed&state=pending": [stop, start],
        "ended=true": [stop],
        "ended=false": [start],
        "namespace=prod": [stop, start],
        "namespace=dev": [],
        "cluster=vulcan": [stop, start],
        "datacenter=dc-uppsala": [],
        "by=token:nobody": [],
        f"since={(datetime.now(UTC) + timedelta(hours=1)):%Y-%m-%dT%H:%M:%SZ}": [],
        "sort=requestedAt": [start, stop],
    }
    for query, expected in filters.items():
        assert await listed(api, query) == expected, query
    first = (await api.ask("GET", "/operations?limit=1")).json()
    second = (await api.ask("GET", f"/operations?limit=1&cursor={first['next']}")).json()
    assert [page["items"][0]["id"] for page in (first, second)] == [stop, start]
    assert second["next"] is None
    assert (await api.ask("GET", "/operations?sort=action")).status_code == 422
    assert (await api.ask("GET", "/operations/none")).status_code == 404


@pytest.mark.parametrize("since", ["0001-01-01T00:00:00%2B14:00", "9999-12-31T23:59:59-14:00"])
async def test_time_that_its_offset_carries_out_of_all_years_is_refused(api: Acting, since: str) -> None:
    """It was an internal error."""
    for path in ("/operations", "/bulk-operations"):
        answer = await api.ask("GET", f"{path}?since={since}")
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "since")


async def test_steps_are_its_history(api: Acting) -> None:
    """Who did what when, newest first; each step says what has changed."""
    id_ = await asked(api, f"/vms/{WEB}/start")
    await api.claim(id_)
    await api.accept(id_)
    await api.progress(id_, "Scheduling on node-1")
    await api.end(id_, message="it runs on node-1")
    steps = (await api.ask("GET", f"/operations/{id_}/events")).json()["items"]
    types = [step["type"].removeprefix("summit.operation.") for step in steps]
    assert types == ["succeeded", "running", "running", "running", "pending"]
    changes = {change["field"]: change["to"] for change in steps[3]["changes"]}
    assert changes == {"state": "running", "executor": WATCHER}
    assert steps[-1]["state"]["action"] == "start"
    shown = (await api.ask("GET", f"/operations/{id_}")).json()
    assert (shown["state"], shown["message"], shown["progress"]) == ("succeeded", "it runs on node-1", None)
    assert shown["endedAt"] >= shown["startedAt"] >= shown["requestedAt"]


async def test_vm_shows_what_is_being_done_to_it(api: Acting) -> None:
    """While it runs, by id and by names; afterwards it is in the history of the VM."""
    id_ = await asked(api, f"/vms/{ERP}/stop")
    await api.claim(id_)
    await api.progress(id_, "Running: shutting down")
    place = "/datacenters/dc-solna/clusters/vulcan/namespaces/prod/vms/erp"
    for path in (f"/vms/{ERP}", place):
        running = (await api.ask("GET", path)).json()["operation"]
        assert (running["id"], running["progress"]) == (id_, "Running: shutting down")
    await api.publish(vm_event("erp", status=VmStatus.STOPPED, versions=(2, 0), time=datetime.now(UTC)))
    await api.end(id_)
    assert (await api.ask("GET", f"/vms/{ERP}")).json()["operation"] is None
    history = (await api.ask("GET", f"/vms/{ERP}/events")).json()["items"]
    kinds = [line["type"].removeprefix("summit.") for line in history]
    assert kinds == ["operation.succeeded", "vm.updated", "operation.running", "operation.pending", "vm.updated"]
    assert (history[0]["state"]["action"], history[0]["state"]["id"]) == ("stop", id_)
    assert history[-1]["state"]["name"] == "erp"
    pages, cursor = [], ""
    while cursor is not None:
        page = (await api.ask("GET", f"/vms/{ERP}/events?limit=2{cursor and f'&cursor={cursor}'}")).json()
        pages += page["items"]
        cursor = page["next"]
    assert pages == history


async def test_pending_operation_is_canceled(api: Acting) -> None:
    """At once: nobody has begun it, and nobody can any more."""
    id_ = await asked(api, f"/vms/{WEB}/start")
    answer = await api.ask("DELETE", f"/operations/{id_}")
    assert (answer.status_code, answer.json()["state"]) == (200, "canceled")
    assert answer.json()["endedAt"]
    with pytest.raises(ValueError, match="is canceled"):
        await api.claim(id_)
    again = await api.ask("DELETE", f"/operations/{id_}")
    assert (again.status_code, again.json()["title"]) == (409, "Operation ended")
    await asked(api, f"/vms/{WEB}/start")


async def test_operation_that_runs_is_asked_to_stop(api: Acting) -> None:
    """Its watcher reports the truth: the migration may have succeeded all the same."""
    id_ = await asked(api, f"/vms/{ERP}/migrate")
    await api.claim(id_)
    for _ in range(2):
        answer = await api.ask("DELETE", f"/operations/{id_}")
        assert (answer.status_code, answer.json()["state"]) == (202, "canceling")
    assert (await api.ask("POST", f"/vms/{ERP}/stop")).json()["reason"] == "operationActive"
    await api.end(id_, message="it was done before it could be stopped")
    assert (await api.ask("GET", f"/operations/{id_}")).json()["state"] == "succeeded"
    assert (await api.ask("DELETE", "/operations/none")).status_code == 404


async def test_operation_that_the_cluster_has_accepted_cannot_be_canceled(api: Acting) -> None:
    """KubeVirt cannot take it back: to say `canceling` would be a promise that nobody keeps. It goes on."""
    id_ = await asked(api, f"/vms/{ERP}/stop")
    await api.claim(id_)
    await api.accept(id_)
    answer = await api.ask("DELETE", f"/operations/{id_}")
    assert (answer.status_code, answer.json()["title"]) == (409, "Operation accepted")
    assert answer.json()["detail"] == (
        "the cluster has accepted the stop of VM erp, and KubeVirt cannot take it back: the operation goes on and "
        "reports its outcome"
    )
    refused = (await api.ask("POST", f"/vms/{ERP}/restart")).json()
    assert (refused["reason"], refused["detail"].endswith(f"operation {id_}: wait")) == ("operationActive", True)
    await api.end(id_)


async def test_migration_that_the_cluster_has_accepted_can_be_canceled(api: Acting) -> None:
    """Its object is deleted."""
    id_ = await asked(api, f"/vms/{ERP}/migrate")
    await api.claim(id_)
    await api.accept(id_)
    answer = await api.ask("DELETE", f"/operations/{id_}")
    assert (answer.status_code, answer.json()["state"]) == (202, "canceling")


async def test_stop_that_does_not_end_can_be_forced(api: Acting) -> None:
    """The guest ignores its power button. Any other action waits, as does a second stop of the same kind."""
    id_ = await asked(api, f"/vms/{ERP}/stop")
    await api.claim(id_)
    assert (await api.ask("POST", f"/vms/{ERP}/stop", {"force": True})).json()["reason"] == "operationActive"
    await api.accept(id_)
    assert (await api.ask("POST", f"/vms/{ERP}/stop")).json()["reason"] == "operationActive"
    assert (await api.ask("POST", f"/vms/{ERP}/stop", {"force": True})).status_code == 202


async def test_cancel_and_claim_at_once_have_one_winner(api: Acting) -> None:
    """Either nobody begins it, or its watcher gets to know that it should stop."""
    ids = [await asked(api, f"/vms/{WEB}/start")]
    canceled, claimed = await asyncio.gather(
        api.ask("DELETE", f"/operations/{ids[0]}"), api.claim(ids[0]), return_exceptions=True
    )
    state = (await api.ask("GET", f"/operations/{ids[0]}")).json()["state"]
    assert state == ("canceling" if claimed is None else "canceled")
    assert not isinstance(canceled, BaseException)


async def test_operation_that_nobody_begins_expires(api: Acting) -> None:
    """Each api looks; the second one finds nothing to do, and one that runs is left to its watcher."""
    pending = await asked(api, f"/vms/{WEB}/start", {"timeout": 60})
    running = await asked(api, f"/vms/{ERP}/stop", {"timeout": 60})
    await api.claim(running)
    for seconds, expected in ((59, "pending"), (61, "expired")):
        now = datetime.now(UTC) + timedelta(seconds=seconds)
        models = api.services.read_models
        await asyncio.gather(*(expire(api.client, models, now, ABANDONED_SECONDS) for _ in range(2)))
        revision = max((await api.client.jetstream().stream_info("SUMMIT")).state.last_seq, 1)
        await api.readings.applied(revision)
        assert (await api.ask("GET", f"/operations/{pending}")).json()["state"] == expected
    assert (await api.ask("GET", f"/operations/{running}")).json()["state"] == "running"
    await asked(api, f"/vms/{WEB}/start")


async def test_operation_that_its_watcher_never_ends_is_given_up(api: Acting) -> None:
    """Its cluster was withdrawn, say: an operation without an end would block the VM for ever."""
    id_ = await asked(api, f"/vms/{ERP}/stop", {"timeout": 60})
    await api.claim(id_)
    later = datetime.now(UTC) + timedelta(seconds=61 + ABANDONED_SECONDS)
    await expire(api.client, api.services.read_models, later, ABANDONED_SECONDS)
    (event,) = (await api.newest("summit.operations.>")).values()
    assert (event["data"]["state"], "its watcher is gone" in event["data"]["message"]) == ("failed", True)
