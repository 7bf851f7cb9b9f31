"""LIST of a simulated cluster behaves as that of a real kube-apiserver."""

import base64
import json
from collections.abc import AsyncIterator

import pytest
from support.simulator_client import PROD_VMS, VMS, Client

from summit_simulator import SimulatedCluster
from summit_simulator.objects.resources import KUBEVIRT_GROUPS


@pytest.fixture
async def cluster() -> AsyncIterator[SimulatedCluster]:
    """A cluster with five stopped VMs in two namespaces."""
    async with SimulatedCluster("vulcan") as cluster:
        for number in range(4):
            cluster.create_vm(f"web-{number}", namespace="prod", labels={"app": "web", "n": str(number)})
        cluster.create_vm("db", namespace="dev", labels={"app": "db"})
        yield cluster


async def _names(client: Client, path: str = VMS, **query: str) -> list[str]:
    listed = (await client.get(path, **query)).json()
    return [item["metadata"]["name"] for item in listed["items"]]


async def test_list_comes_in_key_order_with_metadata_last(client: Client, cluster: SimulatedCluster) -> None:
    """Items are ordered by namespace and name, and ListMeta ends the document with an empty continue."""
    answer = await client.get(VMS)
    assert await _names(client) == ["db", "web-0", "web-1", "web-2", "web-3"]
    tail = f'"metadata":{{"continue":"","resourceVersion":"{cluster.store.revision}"}}}}\n'
    assert answer.body.endswith(tail.encode())
    assert answer.json()["kind"] == "VirtualMachineList"


async def test_pages_are_one_snapshot(client: Client, cluster: SimulatedCluster) -> None:
    """A write between two pages is in none of them, and every page has the first one's resourceVersion."""
    first = (await client.get(VMS, limit="2")).json()
    assert first["metadata"]["remainingItemCount"] == 3
    cluster.delete("virtualmachines", first["items"][0])
    await cluster.settle()
    cluster.create_vm("aaa", namespace="prod")
    cluster.patch("virtualmachines", {"metadata": {"namespace": "prod", "name": "web-3"}}, {"spec": {"x": 1}})
    second = (await client.get(VMS, limit="2", **{"continue": first["metadata"]["continue"]})).json()
    third = (await client.get(VMS, limit="2", **{"continue": second["metadata"]["continue"]})).json()
    items = first["items"] + second["items"] + third["items"]
    assert [item["metadata"]["name"] for item in items] == ["db", "web-0", "web-1", "web-2", "web-3"]
    assert "x" not in items[-1]["spec"]
    assert {page["metadata"]["resourceVersion"] for page in (first, second, third)} == {
        first["metadata"]["resourceVersion"]
    }
    assert third["metadata"]["continue"] == ""


async def test_expired_continue_is_gone_with_an_inconsistent_token(client: Client, cluster: SimulatedCluster) -> None:
    """A continue token of a forgotten snapshot gets 410 Expired and a token that pages some other snapshot."""
    first = (await client.get(VMS, limit="2")).json()
    cluster.create_vm("new", namespace="dev")
    cluster.forget_history()
    expired = await client.get(VMS, limit="2", **{"continue": first["metadata"]["continue"]})
    assert (expired.code, expired.json()["reason"]) == (410, "Expired")
    token = expired.json()["metadata"]["continue"]
    assert json.loads(base64.urlsafe_b64decode(token + "=="))["rv"] == -1
    assert await _names(client, **{"continue": token}) == ["web-1", "web-2", "web-3"]


async def test_continue_with_resource_version_is_a_bad_request(client: Client) -> None:
    """A continue token already names its snapshot."""
    first = (await client.get(VMS, limit="2")).json()
    token = first["metadata"]["continue"]
    answer = await client.get(VMS, limit="2", resourceVersion="5", **{"continue": token})
    assert (answer.code, answer.json()["reason"]) == (400, "BadRequest")


async def test_list_from_the_future_times_out(client: Client, cluster: SimulatedCluster) -> None:
    """A resourceVersion that does not exist yet gets 504 with the cause and Retry-After."""
    answer = await client.get(VMS, resourceVersion=str(cluster.store.revision + 1))
    assert (answer.code, answer.headers["Retry-After"]) == (504, "1")
    assert answer.json()["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


async def test_exact_list_of_the_past_is_the_state_as_it_was(client: Client, cluster: SimulatedCluster) -> None:
    """Later creates, changes and deletes are left out; once the history is forgotten it is gone."""
    before = await client.get(VMS)
    exact = {"resourceVersion": str(cluster.store.revision), "resourceVersionMatch": "Exact"}
    cluster.create_vm("later", namespace="prod")
    cluster.delete("virtualmachines", {"metadata": {"namespace": "prod", "name": "web-1"}})
    cluster.patch(
        "virtualmachines", {"metadata": {"namespace": "dev", "name": "db"}}, {"metadata": {"labels": {"a": "b"}}}
    )
    assert (await client.get(VMS, **exact)).json() == before.json()
    pages = [await client.get(VMS, **exact, limit="3")]
    pages.append(await client.get(VMS, **{"limit": "3", "continue": pages[0].json()["metadata"]["continue"]}))
    assert [item for page in pages for item in page.json()["items"]] == before.json()["items"]
    cluster.forget_history()
    assert (await client.get(VMS, **exact)).code == 410


async def test_labels_and_fields_select(client: Client) -> None:
    """Custom resources have no selectable fields but name and namespace."""
    assert await _names(client, labelSelector="app=web,n!=0") == ["web-1", "web-2", "web-3"]
    assert await _names(client, fieldSelector="metadata.name=web-1") == ["web-1"]
    assert await _names(client, fieldSelector="metadata.namespace=dev") == ["db"]
    assert (await client.get(VMS, fieldSelector="spec.running=true")).code == 400


async def test_a_namespace_restricts_the_list(client: Client) -> None:
    """The path's namespace is the only one listed."""
    assert await _names(client, PROD_VMS) == ["web-0", "web-1", "web-2", "web-3"]


async def test_send_initial_events_is_forbidden_for_list(client: Client) -> None:
    """The streaming list is a WATCH."""
    answer = await client.get(VMS, sendInitialEvents="true")
    assert (answer.code, answer.json()["reason"]) == (422, "Invalid")


async def test_absent_group_is_plain_text(client: Client, cluster: SimulatedCluster) -> None:
    """Without KubeVirt its groups are a 404 that is no Status, until it is installed."""
    cluster.uninstall(KUBEVIRT_GROUPS)
    answer = await client.get(VMS)
    assert (answer.code, answer.body) == (404, b"404 page not found\n")
    assert answer.headers["Content-Type"].startswith("text/plain")
    cluster.install(KUBEVIRT_GROUPS)
    assert (await client.get(VMS)).code == 200


async def test_missing_object_is_a_status(client: Client) -> None:
    """404 for an object names group and kind in details."""
    answer = await client.get(f"{PROD_VMS}/nope")
    assert answer.json() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'virtualmachines.kubevirt.io "nope" not found',
        "reason": "NotFound",
        "details": {"name": "nope", "group": "kubevirt.io", "kind": "virtualmachines"},
        "code": 404,
    }
