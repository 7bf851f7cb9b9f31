"""GET /api/v1/vms: everything known of each VM, filtered, in pages that neither skip nor repeat."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from support.api_stack import NOW, STREAM_CREATED_AT, Stack, api_over, api_stack, health, placed_vm
from support.builders import uid_of
from support.published import CLUSTER, OBSERVED_AT

from summit_api.shapes.inventory import VmItem, VmPage
from summit_models.event import VmEventType


@pytest.fixture
async def stack(database_url: str) -> AsyncIterator[Stack]:
    async with api_stack(database_url) as stack:
        yield stack


def names(page: dict[str, Any]) -> list[str]:
    return [item["name"] for item in page["items"]]


async def test_item_has_every_field_of_the_model(stack: Stack) -> None:
    """A field that is added to the model is in the answer, with the value it was published with."""
    event = placed_vm(
        "erp-db-01",
        memory=8192,
        memory_bytes=8589934592,
        labels={"app": 'a "quoted" name'},
        ips=["10.0.0.1", "fe80::1"],
        created_at=NOW - timedelta(days=5, hours=3, microseconds=500_000),
        last_migrated_at=NOW,
        problems=["disk 'data': claim not seen"],
    )
    await stack.apply(event)
    stack.report(health(CLUSTER))
    page = await stack.get("/api/v1/vms")
    (item,) = page["items"]
    assert item.keys() == {field.alias for field in VmItem.model_fields.values()}
    shown = VmPage.model_validate(page).items[0]
    assert {name: getattr(shown, name) for name in type(shown).model_fields} == {
        **{name: getattr(event.data, name) for name in VmItem.model_fields if hasattr(event.data, name)},
        "observed_at": OBSERVED_AT,
        "revision": 1,
        "age": "5d3h",
        "stale": False,
    }


async def test_list_has_revision_and_position(stack: Stack) -> None:
    """An empty list has a revision as well; each applied event raises it, and asOf is the time of that."""
    empty = await stack.get("/api/v1/vms")
    assert (empty["items"], empty["next"], empty["revision"]) == ([], None, 0)
    await stack.apply(placed_vm("a"), placed_vm("b"))
    answer = await stack.http.get("/api/v1/vms")
    assert (answer.json()["revision"], answer.headers["Summit-Revision"]) == (2, "2")
    assert answer.json()["position"] == answer.headers["Summit-Position"] == empty["position"].replace("0-", "2-")
    assert VmPage.model_validate_json(answer.content).as_of > STREAM_CREATED_AT  # type: ignore[operator]


async def test_times_are_utc_whatever_the_time_zone_of_the_session(database_url: str) -> None:
    """A server that is set to local time does not change the answers."""
    async with api_stack(database_url) as stack:
        await stack.apply(placed_vm("a", created_at=NOW))
        async with api_over(f"{database_url}?TimeZone=Europe/Stockholm") as (http, *_):
            (item,) = (await http.get("/api/v1/vms")).json()["items"]
    assert (item["createdAt"], item["observedAt"]) == ("2026-11-23T12:00:30Z", "2026-11-23T07:00:00Z")


async def test_one_vm(stack: Stack) -> None:
    """By id and by where it is: the same item as in the list, and what is being done to it."""
    await stack.apply(placed_vm("a"), placed_vm("a", cluster="other"))
    item = next(i for i in (await stack.get("/api/v1/vms"))["items"] if i["cluster"] == CLUSTER)
    item["operation"] = None
    assert await stack.get(f"/api/v1/vms/{item['id']}") == item
    assert await stack.get(f"/api/v1/datacenters/dc-solna/clusters/{CLUSTER}/namespaces/prod/vms/a") == item


async def test_deleted_vm_is_gone(stack: Stack) -> None:
    """No list has it, and no id or name finds it; by id the problem has the time of its deletion."""
    await stack.apply(placed_vm("a"), placed_vm("a", type_=VmEventType.DELETED, versions=(2, 0)))
    assert (await stack.get("/api/v1/vms"))["items"] == []
    by_id = await stack.http.get(f"/api/v1/vms/{uid_of(CLUSTER, 'prod', 'a')}")
    assert by_id.status_code == 404
    assert "was deleted at 2026-11-23T07:00:00Z" in by_id.json()["detail"]
    by_name = await stack.http.get(f"/api/v1/datacenters/dc-solna/clusters/{CLUSTER}/namespaces/prod/vms/a")
    assert by_name.status_code == 404
    assert "no VM prod/a in cluster 'vulcan'" in by_name.json()["detail"]
