"""Two clusters that show one uid: the second is restored from a copy of the first, is its new name, or means harm."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr
from support.api_stack import Stack, api_stack, health
from support.builders import uid_of
from support.published import CLUSTER, DATACENTER, OBSERVED_AT, migration_event, unmanaged_event, vm_event

from summit_api.access.principal import Scope
from summit_api.query import vms
from summit_api.query.transaction.read_transaction import ReadModels
from summit_api.query.vms import VmPageQuery
from summit_models.contract import DatacenterId
from summit_models.event import MigrationEventType, VmEventType
from summit_models.vm import VmStatus

CLONE = "romulus"
ID, MIGRATION_ID = uid_of("prod", "c1"), uid_of("prod", "m1", "migration")
LATER = OBSERVED_AT + timedelta(hours=1)


@pytest.fixture
async def stack(database_url: str) -> AsyncIterator[Stack]:
    """Cluster vulcan and its clone, restored from its etcd: two VMs and a migration each, with the same uids."""
    async with api_stack(database_url) as stack:
        for cluster, epoch, node in ((CLUSTER, 7, "site1-n1"), (CLONE, 3, "site2-n7")):
            stack.report(health(cluster))
            for name in ("c1", "c2"):
                labels = {"site": node[:5]}
                created = VmEventType.CREATED
                await stack.apply(
                    vm_event(
                        name, created, cluster=cluster, epoch=epoch, node_name=node, labels=labels, versions=(9, 9)
                    )
                )
            await stack.apply(
                migration_event("m1", MigrationEventType.CREATED, cluster=cluster, epoch=epoch, created_at=OBSERVED_AT)
            )
        yield stack


async def listed(stack: Stack, **parameters: Any) -> list[tuple[str, str]]:
    items = (await stack.get("/api/v1/vms", **parameters))["items"]
    return [(item["name"], item["cluster"]) for item in items]


def deletion(cluster: str, name: str = "c1") -> Any:
    return vm_event(name, VmEventType.DELETED, cluster=cluster, epoch=9, versions=(20, 20), time=LATER)


async def conflict(answer: httpx2.Response) -> dict[str, Any]:
    assert answer.status_code == 409, answer.text
    problem: dict[str, Any] = answer.json()
    assert problem["type"] == "/docs#ambiguous-id"
    return problem


async def test_a_second_cluster_with_the_same_uids_takes_no_row_over(stack: Stack) -> None:
    """Its lower epoch and its resourceVersions have nothing to do with the first one's."""
    assert await listed(stack) == [("c1", CLONE), ("c1", CLUSTER), ("c2", CLONE), ("c2", CLUSTER)]
    assert await listed(stack, node="site1-n1") == [("c1", CLUSTER), ("c2", CLUSTER)]
    assert await listed(stack, label="site=site2") == [("c1", CLONE), ("c2", CLONE)]
    assert await listed(stack, q="site2") == [("c1", CLONE), ("c2", CLONE)]
    fleet = (await stack.get("/api/v1/datacenters"))["datacenters"][0]["vms"]
    assert [(vm["id"] == ID, vm["nodeName"]) for vm in fleet[:2]] == [(True, "site2-n7"), (True, "site1-n1")]
    assert len(await stack.get("/api/v1/migrations")) == 2


async def problems(stack: Stack, **parameters: Any) -> list[tuple[str, list[str]]]:
    items = (await stack.get("/api/v1/vms", fields="name,cluster,problems", **parameters))["items"]
    return [(f"{item['cluster']}/{item['name']}", item["problems"]) for item in items]


async def test_both_say_which_cluster_shows_their_id_too(stack: Stack) -> None:
    """As long as it does, now and in the past. Nothing was logged and nothing was shown."""
    also = {CLONE: [f"also shown by cluster {CLUSTER}"], CLUSTER: [f"also shown by cluster {CLONE}"]}
    both = [(f"{cluster}/{name}", also[cluster]) for name in ("c1", "c2") for cluster in (CLONE, CLUSTER)]
    assert await problems(stack) == both
    for cluster in (CLONE, CLUSTER):
        assert (await stack.get(f"/api/v1/vms/{ID}", cluster=cluster))["problems"] == also[cluster]
    await stack.apply(deletion(CLONE))
    assert await problems(stack) == [(f"{CLUSTER}/c1", []), *both[2:]]
    assert await problems(stack, at=OBSERVED_AT.isoformat()) == both


@pytest.mark.parametrize(("elsewhere", "also"), [(DATACENTER, [f"also shown by cluster {CLONE}"]), ("dc-uppsala", [])])
async def test_a_reader_with_limits_learns_of_no_cluster_that_it_may_not_see(
    database_url: str, elsewhere: str, also: list[str]
) -> None:
    """The name of a cluster in another datacenter is none of its business."""
    query, scope = VmPageQuery(fields=["problems"]), Scope(datacenters=frozenset([DatacenterId(DATACENTER)]))
    read_models = ReadModels(SecretStr(database_url))
    async with api_stack(database_url) as stack:
        await stack.apply(vm_event("c1"), vm_event("c1", cluster=CLONE, datacenter=elsewhere))
        async with read_models.transaction() as transaction:
            rows = (await vms.page(transaction, query, scope)).rows
        await read_models.close()
    assert {row.cluster: json.loads(row.json)["problems"] for row in rows}[CLUSTER] == also


async def test_pages_show_each_row_of_one_id_once(stack: Stack) -> None:
    """The order ends with the cluster, or a page that ends between two rows of an id would skip one."""
    for sort in ("name", "-name", "id", "-id", "cpu", "-createdAt"):
        shown, following = [], ""
        while following is not None:
            page = await stack.get("/api/v1/vms", limit=1, sort=sort, **({"cursor": following} if following else {}))
            shown += [(item["id"], item["cluster"]) for item in page["items"]]
            following = page["next"]
        assert len(shown) == len(set(shown)) == 4, sort


async def test_its_delete_leaves_the_vm_of_the_first_cluster(stack: Stack) -> None:
    """Its VM answered 404 for good. The id is unambiguous again, in its history too."""
    await stack.apply(deletion(CLONE))
    assert (await stack.get(f"/api/v1/vms/{ID}"))["cluster"] == CLUSTER
    assert await listed(stack) == [("c1", CLUSTER), ("c2", CLONE), ("c2", CLUSTER)]
    assert (await stack.http.get(f"/api/v1/vms/{ID}", params={"cluster": CLONE})).status_code == 404
    history = (await stack.get(f"/api/v1/vms/{ID}/events"))["items"]
    assert [(item["type"].rpartition(".")[2], item["cluster"]) for item in history] == [
        ("deleted", CLONE),
        ("created", CLONE),
        ("created", CLUSTER),
    ]


@pytest.mark.parametrize(
    "path", [f"/api/v1/vms/{ID}", f"/api/v1/vms/{ID}/events", f"/api/v1/migrations/{MIGRATION_ID}"]
)
async def test_an_id_that_two_clusters_show_needs_the_name_of_one(stack: Stack, path: str) -> None:
    """Without it the answer names both; a guess would show the wrong one."""
    problem = await conflict(await stack.http.get(path))
    assert problem["clusters"] == [CLONE, CLUSTER]
    assert CLONE in problem["detail"]
    assert CLUSTER in problem["detail"]
    for cluster in (CLUSTER, CLONE):
        answer = await stack.get(path, cluster=cluster)
        items = answer.get("items", [answer])
        assert {item["cluster"] for item in items} == {cluster}
    assert (await stack.http.get(path, params={"cluster": "remus"})).status_code == 404


async def test_an_edit_by_an_ambiguous_id_is_refused(stack: Stack) -> None:
    """It would concern the wrong VM."""
    path = f"/api/v1/admin/datacenters/{DATACENTER}/vms/{ID}"
    await conflict(await stack.http.delete(path))
    await conflict(await stack.http.patch(path, json={"cpu": 4}))
    move = {"vmId": ID, "fromDC": DATACENTER, "toDC": "dc-uppsala"}
    await conflict(await stack.http.post("/api/v1/migrate", json=move))
    answer = await stack.http.patch(path, params={"cluster": CLONE}, json={"name": "other"})
    assert (answer.status_code, answer.json()["title"]) == (409, "Managed VM")
    assert CLONE in answer.json()["detail"]


async def test_the_past_shows_both_as_they_were(stack: Stack) -> None:
    """Also by id: what was ambiguous then is so now."""
    await stack.apply(
        deletion(CLONE),
        vm_event("c1", cluster=CLUSTER, epoch=9, versions=(20, 20), status=VmStatus.STOPPED, time=LATER),
    )
    then, afterwards = OBSERVED_AT.isoformat(), LATER.isoformat()
    assert len(await listed(stack, at=then)) == 4
    assert (await stack.get(f"/api/v1/vms/{ID}", at=then, cluster=CLUSTER))["nodeName"] == "site1-n1"
    assert (await stack.get(f"/api/v1/vms/{ID}", at=then, cluster=CLONE))["nodeName"] == "site2-n7"
    await conflict(await stack.http.get(f"/api/v1/vms/{ID}", params={"at": then}))
    assert (await stack.get(f"/api/v1/vms/{ID}", at=afterwards))["status"] == "stopped"


async def test_a_renamed_cluster_keeps_its_vms(database_url: str) -> None:
    """The old name is retired under a later epoch than the new name's first one, and both orders of that end alike."""
    old = [vm_event(name, cluster="old", epoch=5, versions=(9, 9)) for name in ("c1", "c2")]
    new = [vm_event(name, cluster="new", epoch=1, versions=(9, 9)) for name in ("c1", "c2")]
    ends = [
        vm_event(name, VmEventType.DELETED, cluster="old", epoch=6, versions=(9, 9), time=LATER)
        for name in ("c1", "c2")
    ]
    async with api_stack(database_url) as stack:
        await stack.apply(*old, *new, *ends)
        assert await listed(stack) == [("c1", "new"), ("c2", "new")]
        await stack.apply(*(event.model_copy(update={"id": f"{event.id}-again"}) for event in new))
        assert await listed(stack) == [("c1", "new"), ("c2", "new")]
        assert (await stack.get(f"/api/v1/vms/{ID}"))["cluster"] == "new"
        assert (await stack.http.get(f"/api/v1/vms/{ID}", params={"cluster": "old"})).status_code == 404


async def test_a_cluster_that_shows_the_id_of_a_vm_added_by_hand_leaves_it_alone(database_url: str) -> None:
    """The member `cluster` of such a VM is any text, also the name of that cluster. It is nobody's."""
    by_hand = unmanaged_event(ID, VmEventType.CREATED, name="mine", cluster=CLUSTER)
    async with api_stack(database_url) as stack:
        await stack.apply(by_hand, vm_event("c1", VmEventType.CREATED, epoch=7, versions=(9, 9)))
        assert await listed(stack) == [("c1", CLUSTER), ("mine", CLUSTER)]
        problem = await conflict(await stack.http.get(f"/api/v1/vms/{ID}"))
        assert problem["clusters"] == ["", CLUSTER]
        watched = await stack.get(f"/api/v1/vms/{ID}", cluster=CLUSTER)
        assert (watched["managed"], watched["problems"]) == (True, ["also added by hand under this id"])
        await stack.apply(deletion(CLUSTER))
        assert (await stack.get(f"/api/v1/vms/{ID}"))["name"] == "mine"
