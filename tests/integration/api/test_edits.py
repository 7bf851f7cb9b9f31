"""Edits by hand go through the log like all other changes, and the next read shows them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from support.builders import uid_of
from support.editing import SOLNA, UPPSALA, Editing, editing
from support.published import CLUSTER, cluster_event, datacenter_event, unmanaged_event, vm_event
from support.tcp_proxy import tcp_proxy

from summit_api.settings import ApiTimes
from summit_models.contract import DatacenterId
from summit_models.event import VmEventType
from summit_watcher.config.datacenters import DatacenterConfig
from summit_watcher.log.datacenters import declare

ERP = uid_of("prod", "erp")
VMS = f"/admin/datacenters/{SOLNA}/vms"


@pytest.fixture
async def api(nats_url: str, database_url: str) -> AsyncIterator[Editing]:
    async with editing(nats_url, database_url) as api:
        yield api


async def names(api: Editing) -> dict[str, list[str]]:
    """Names of the VMs by datacenter, as a client reads them right now."""
    listed = (await api.ask("GET", "/datacenters")).json()
    return {dc["id"]: [vm["name"] for vm in dc["vms"]] for dc in listed["datacenters"]}


async def add(api: Editing, **members: Any) -> Any:
    answer = await api.ask("POST", VMS, {"name": "old-web"} | members)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_added_vm_is_there_with_the_answer(api: Editing) -> None:
    """A read after the answer shows it; the log has it under its id."""
    vm = await add(api, status="running", cpu=4, memory=8192, disk=100, cluster="old-vmware", ip="10.0.0.9")
    assert await names(api) == {SOLNA: ["erp", "old-web"], UPPSALA: []}
    item = (await api.ask("GET", f"/vms/{vm['id']}")).json()
    assert (item["managed"], item["memoryBytes"], item["diskBytes"], item["ips"]) == (
        False, 8192 * 2**20, 100 * 2**30, ["10.0.0.9"],
    )  # fmt: skip
    said = (await api.newest())[f"summit.vms.{SOLNA}.-.-.{vm['id']}"]
    assert (said["type"], said["source"]) == (VmEventType.CREATED, f"/datacenters/{SOLNA}")


async def test_edit_that_nats_gets_twice_is_made_and_says_so(nats_url: str, database_url: str) -> None:
    """As nats-py sends it after a reconnect: the answer was that it had changed, and that nothing was done."""
    async with tcp_proxy(nats_url) as proxy, editing(proxy.url, database_url) as api:
        proxy.marker, proxy.lose = b"ingest.summit.vms", "first answer"
        answer = await api.ask("POST", VMS, {"id": "twice", "name": "twice"})
        assert (answer.status_code, proxy.lost) == (200, 1)


async def test_a_retired_datacenter_is_shown_only_while_it_has_vms(api: Editing) -> None:
    """Those that were added by hand are not lost with it; without any it is in no list and no count."""
    retired = datacenter_event(id=UPPSALA, name="Uppsala", retired=True)
    of_uppsala = f"/admin/datacenters/{UPPSALA}/vms"
    vm = (await api.ask("POST", of_uppsala, {"name": "old-web"})).json()
    await api.publish(retired)
    assert await names(api) == {SOLNA: ["erp"], UPPSALA: ["old-web"]}
    assert (await api.ask("DELETE", f"{of_uppsala}/{vm['id']}")).status_code == 204
    assert await names(api) == {SOLNA: ["erp"]}
    assert (await api.ask("GET", "/status")).json()["datacenters"] == 1
    assert (await api.ask("POST", of_uppsala, {"name": "new"})).status_code == 404
    assert (await api.ask("PATCH", f"/admin/datacenters/{UPPSALA}", {"name": "Fyris"})).status_code == 404
    history = (await api.ask("GET", f"/vms/{vm['id']}/events")).json()
    assert [line["type"] for line in history["items"]] == [VmEventType.DELETED, VmEventType.CREATED]


@pytest.mark.parametrize("id_", [ERP, "vm-001"])
async def test_id_of_another_vm_is_refused(api: Editing, id_: str) -> None:
    """Whether that is watched or was added by hand, and in whichever datacenter."""
    await add(api, id="vm-001")
    answer = await api.ask("POST", f"/admin/datacenters/{UPPSALA}/vms", {"id": id_, "name": "other"})
    assert answer.status_code == 409
    assert "ids are unique" in answer.json()["error"]
    assert await names(api) == {SOLNA: ["erp", "old-web"], UPPSALA: []}


async def test_id_returns_after_its_vm_was_removed(api: Editing) -> None:
    """By hand; the id of a deleted VM of a cluster stays that VM's."""
    await add(api, id="vm-001")
    assert (await api.ask("DELETE", f"{VMS}/vm-001")).status_code == 204
    await add(api, id="vm-001", name="again")
    await api.publish(vm_event("erp", VmEventType.DELETED, versions=(2, 0)))
    assert (await api.ask("POST", VMS, {"id": ERP, "name": "erp"})).status_code == 409
    assert await names(api) == {SOLNA: ["again"], UPPSALA: []}


async def test_vm_is_edited(api: Editing) -> None:
    """Only the given members change, and the event has the old values."""
    await add(api, id="vm-001", cpu=4, cluster="old-vmware")
    answer = await api.ask("PATCH", f"{VMS}/vm-001", {"name": "new web", "status": "stopped", "cluster": ""})
    assert answer.json() == {
        "id": "vm-001",
        "name": "new web",
        "status": "stopped",
        "cpu": 4,
        "memory": None,
        "disk": None,
    }
    said = (await api.newest())[f"summit.vms.{SOLNA}.-.-.vm-001"]
    assert said["data"]["changes"] == {"name": "old-web", "status": "unknown", "cluster": "old-vmware"}
    assert await names(api) == {SOLNA: ["erp", "new web"], UPPSALA: []}


async def test_edit_without_a_difference_changes_nothing(api: Editing) -> None:
    """A client that sends a whole VM back makes no event; also of a watched VM, whose MiB are rounded."""
    await add(api, id="vm-001", cpu=4)
    before = await api.newest()
    for vm_id in ("vm-001", ERP):
        vm = (await api.ask("GET", f"/vms/{vm_id}")).json()
        assert (await api.ask("PATCH", f"{VMS}/{vm_id}", vm)).status_code == 200
    assert await api.newest() == before


async def test_of_two_edits_at_once_none_is_lost_in_silence(api: Editing) -> None:
    """Each edit is made, or rejected with an error; a rejected one succeeds when it is repeated."""
    await add(api, id="vm-001", cpu=1)
    waiting: list[dict[str, int]] = [{"cpu": 2}, {"memory": 4096}, {"disk": 40}]
    while waiting:
        answers = await asyncio.gather(*(api.ask("PATCH", f"{VMS}/vm-001", edit) for edit in waiting))
        assert {answer.json().get("title") for answer in answers if answer.status_code != 200} <= {"Changed meanwhile"}
        assert 200 in {answer.status_code for answer in answers}
        waiting = [edit for edit, answer in zip(waiting, answers, strict=True) if answer.status_code == 409]
    vm = (await api.ask("GET", "/vms/vm-001")).json()
    assert (vm["cpu"], vm["memory"], vm["disk"]) == (2, 4096, 40)


async def test_one_id_that_is_added_twice_at_once_is_added_once(api: Editing) -> None:
    """This holds for two datacenters, too."""
    answers = await asyncio.gather(
        *(
            api.ask("POST", f"/admin/datacenters/{datacenter}/vms", {"id": "vm-001", "name": datacenter})
            for datacenter in (SOLNA, UPPSALA)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409]


async def test_event_that_the_tables_rejected_does_not_freeze_its_vm(api: Editing) -> None:
    """It is the newest in the log, and each edit after it was refused for ever: 'it has changed since it was read'."""
    await add(api, id="vm-001")
    await api.publish(unmanaged_event("vm-001", disk_bytes=2**70), unmanaged_event("vm-002", disk_bytes=2**70))
    edited = await api.ask("PATCH", f"{VMS}/vm-001", {"cpu": 2})
    assert (edited.status_code, edited.json()["cpu"]) == (200, 2)
    assert (await api.ask("DELETE", f"{VMS}/vm-001")).status_code == 204
    await add(api, id="vm-002")
    await api.publish(datacenter_event(id=SOLNA, name="Solna", clusters=["vulcan"], location="a\x00b"))
    renamed = await api.ask("PATCH", f"/admin/datacenters/{SOLNA}", {"name": "Solna North"})
    assert (renamed.status_code, renamed.json()["name"]) == (200, "Solna North")


async def test_watched_vm_belongs_to_its_cluster(api: Editing) -> None:
    """Its fields are changed there; its status, its size and its end need a watcher of its cluster."""
    before = await api.newest()
    renamed = await api.ask("PATCH", f"{VMS}/{ERP}", {"name": "other", "status": "stopped"})
    stopped = await api.ask("PATCH", f"{VMS}/{ERP}", {"status": "stopped"})
    deleted = await api.ask("DELETE", f"{VMS}/{ERP}?name=erp")
    assert [answer.status_code for answer in (renamed, stopped, deleted)] == [409, 503, 503]
    assert f"in cluster {CLUSTER}" in renamed.json()["error"]
    assert await api.newest() == before


async def test_list_of_a_cluster_leaves_vms_added_by_hand_alone(api: Editing) -> None:
    """One that is said to be in a watched cluster has no subject there, so the cluster's watcher never knew it."""
    await add(api, id="vm-001", cluster=CLUSTER)
    assert [subject for subject in await api.newest(f"summit.vms.{SOLNA}.{CLUSTER}.>") if "vm-001" in subject] == []
    await api.publish(cluster_event())
    assert await names(api) == {SOLNA: ["erp", "old-web"], UPPSALA: []}


async def test_datacenter_is_edited(api: Editing) -> None:
    """The answer has its VMs as the original's has; the watcher's next start leaves the edit alone."""
    answer = await api.ask(
        "PATCH", f"/admin/datacenters/{SOLNA}", {"name": "Solna North", "coordinates": [59.4, 18], "location": None}
    )
    assert answer.status_code == 200
    shown = answer.json()
    assert (shown["name"], shown["coordinates"], shown["clusters"]) == ("Solna North", [59.4, 18], ["vulcan"])
    assert [vm["name"] for vm in shown["vms"]] == ["erp"]
    await declare([DatacenterConfig(DatacenterId(SOLNA), "Solna")], api.client)
    listed = (await api.ask("GET", "/datacenters")).json()["datacenters"]
    assert [datacenter["name"] for datacenter in listed] == ["Solna North", "Uppsala"]
    said = (await api.newest("summit.datacenters.*"))[f"summit.datacenters.{SOLNA}"]
    assert said["data"]["declared"]["name"] == "Solna"


async def test_moved_vm_is_in_one_datacenter(api: Editing) -> None:
    """For readers of the tables and for those of the log: it ends there and begins here."""
    await add(api, id="vm-001", status="running")
    body = {"vmId": "vm-001", "fromDC": SOLNA, "toDC": UPPSALA}
    answer = await api.ask("POST", "/migrate", body)
    assert answer.status_code == 200
    assert answer.json()["vm"]["_lastMigratedAt"]
    assert await names(api) == {SOLNA: ["erp"], UPPSALA: ["old-web"]}
    types = {subject: event["type"] for subject, event in (await api.newest("summit.vms.*.-.-.*")).items()}
    assert types == {
        f"summit.vms.{SOLNA}.-.-.vm-001": VmEventType.DELETED,
        f"summit.vms.{UPPSALA}.-.-.vm-001": VmEventType.CREATED,
    }
    assert (await api.ask("POST", "/migrate", body)).status_code == 404
    back = await api.ask("POST", "/migrate", {"vmId": "vm-001", "fromDC": UPPSALA, "toDC": SOLNA})
    assert back.status_code == 200
    assert await names(api) == {SOLNA: ["erp", "old-web"], UPPSALA: []}


async def test_without_nats_edits_are_refused_and_reads_go_on(api: Editing) -> None:
    """Nothing is half done: no event, no row."""
    await add(api, id="vm-001")
    api.services.log.client = None
    before = await api.newest()
    refused = [
        await api.ask("POST", VMS, {"name": "x"}),
        await api.ask("PATCH", f"{VMS}/vm-001", {"name": "x"}),
        await api.ask("DELETE", f"{VMS}/vm-001"),
        await api.ask("PATCH", f"/admin/datacenters/{SOLNA}", {"name": "x"}),
        await api.ask("POST", "/migrate", {"vmId": "vm-001", "fromDC": SOLNA, "toDC": UPPSALA}),
    ]
    assert {(answer.status_code, answer.json()["title"]) for answer in refused} == {(503, "Log unavailable")}
    assert all("nothing was done" in answer.json()["detail"] for answer in refused)
    assert await api.newest() == before
    assert await names(api) == {SOLNA: ["erp", "old-web"], UPPSALA: []}


async def test_edit_that_the_tables_do_not_have_yet_is_answered_so(nats_url: str, database_url: str) -> None:
    """202: it is in the log and will be read; the revision says what to wait for."""
    async with editing(nats_url, database_url, times=ApiTimes(applied_seconds=0.1)) as api:
        lock = await asyncpg.connect(database_url)
        async with lock.transaction():
            await lock.execute("LOCK TABLE vms IN EXCLUSIVE MODE")  # readers go on, the projector waits
            answer = await api.ask("POST", VMS, {"id": "vm-001", "name": "old-web"})
            assert (answer.status_code, answer.json()["name"]) == (202, "old-web")
            assert await names(api) == {SOLNA: ["erp"], UPPSALA: []}
        revision = answer.headers["Summit-Revision"]
        read = await api.ask("GET", f"/vms/vm-001?revision={revision}")
        await lock.close()
    assert read.json()["name"] == "old-web"


async def test_vm_that_is_moved_and_removed_at_once_is_one_of_the_two(api: Editing) -> None:
    """The second one is rejected: no event ends a VM that is in another datacenter."""
    await add(api, id="vm-001")
    moved, removed = await asyncio.gather(
        api.ask("POST", "/migrate", {"vmId": "vm-001", "fromDC": SOLNA, "toDC": UPPSALA}),
        api.ask("DELETE", f"{VMS}/vm-001"),
    )
    there = (await names(api))[UPPSALA]
    outcome = (moved.status_code, removed.status_code)
    assert outcome in ([(200, 409), (200, 404)] if there else [(409, 204), (404, 204)])
