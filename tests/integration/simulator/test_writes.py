"""Writes to a simulated cluster follow the rules of a real kube-apiserver."""

from typing import Any

import pytest
from support.simulator_client import PROD_VMS, Client

from summit_simulator import SimulatedCluster

NAMESPACES = "/api/v1/namespaces"
MERGE = {"Content-Type": "application/merge-patch+json"}
WEB = f"{PROD_VMS}/web"


def _vm(name: str, **spec: Any) -> dict[str, Any]:
    template = {"spec": {"domain": {"devices": {}}}}
    return {"metadata": {"name": name}, "spec": {"runStrategy": "Halted", "template": template, **spec}}


async def test_create_sets_what_belongs_to_the_server(client: Client) -> None:
    """Uid, resourceVersion, generation and creationTimestamp are the server's; a given status is dropped."""
    answer = await client.request("POST", PROD_VMS, _vm("new") | {"status": {"printableStatus": "Running"}})
    meta = answer.json()["metadata"]
    assert answer.code == 201
    assert (meta["namespace"], meta["generation"]) == ("prod", 1)
    assert meta.keys() >= {"uid", "resourceVersion", "creationTimestamp", "managedFields"}
    assert "status" not in answer.json()


async def test_generated_names_extend_their_prefix(client: Client) -> None:
    """Five characters are added to generateName."""
    body = _vm("") | {"metadata": {"generateName": "job-"}}
    name = (await client.request("POST", PROD_VMS, body)).json()["metadata"]["name"]
    assert name.startswith("job-")
    assert len(name) == len("job-") + 5


@pytest.mark.parametrize(
    ("path", "body", "code", "reason"),
    [
        (PROD_VMS, _vm("web"), 409, "AlreadyExists"),
        (PROD_VMS.replace("prod", "nowhere"), _vm("x"), 404, "NotFound"),
        (PROD_VMS, {"metadata": {"name": "x"}, "spec": {}}, 422, "Invalid"),
        (PROD_VMS, _vm("x") | {"kind": "Pod"}, 400, "BadRequest"),
        (PROD_VMS, {"metadata": {"namespace": "dev", "name": "x"}}, 400, "BadRequest"),
        (PROD_VMS, _vm(""), 422, "Invalid"),
    ],
)
async def test_a_bad_create_is_refused(client: Client, path: str, body: Any, code: int, reason: str) -> None:
    """Each mistake gets the code and reason of the real server."""
    answer = await client.request("POST", path, body)
    assert (answer.code, answer.json()["reason"]) == (code, reason)


async def test_run_strategy_nonsense_is_refused(client: Client) -> None:
    """It was stored, at a create and at a change. The words are those of KubeVirt's webhook."""
    created = await client.request("POST", PROD_VMS, _vm("new", runStrategy="Nonsense"))
    changed = await client.request("PATCH", WEB, {"spec": {"runStrategy": "Nonsense"}}, headers=MERGE)
    for answer in (created, changed):
        assert (answer.code, answer.json()["reason"]) == (422, "Invalid")
        assert "Invalid RunStrategy (Nonsense)" in answer.json()["message"]


async def test_stale_update_conflicts(client: Client) -> None:
    """A PUT with an older resourceVersion is refused, one with the newest or none is not."""
    vm = (await client.get(WEB)).json()
    vm["metadata"]["labels"]["a"] = "b"
    assert (await client.request("PUT", WEB, vm)).code == 200
    vm["metadata"]["labels"]["a"] = "c"
    stale = await client.request("PUT", WEB, vm)
    assert (stale.code, stale.json()["reason"]) == (409, "Conflict")
    assert "the object has been modified" in stale.json()["message"]
    del vm["metadata"]["resourceVersion"]
    assert (await client.request("PUT", WEB, vm)).code == 200


async def test_a_write_that_changes_nothing_has_no_revision(client: Client, cluster: SimulatedCluster) -> None:
    """No event comes of it."""
    before = cluster.store.revision
    assert (await client.request("PUT", WEB, (await client.get(WEB)).json())).code == 200
    assert cluster.store.revision == before


async def test_status_is_written_by_its_subresource_only(client: Client) -> None:
    """A write to the object leaves the status, a write to the status leaves the rest."""
    both = {"metadata": {"labels": {"a": "b"}}, "status": {"x": "y"}}
    plain = (await client.request("PATCH", WEB, both, headers=MERGE)).json()
    assert plain["metadata"]["labels"]["a"] == "b"
    assert "x" not in plain["status"]
    status = {"metadata": {"labels": {"a": "c"}}, "status": {"x": "y"}}
    written = (await client.request("PATCH", f"{WEB}/status", status, headers=MERGE)).json()
    assert written["status"]["x"] == "y"
    assert written["metadata"]["labels"]["a"] == "b"


async def test_generation_counts_changes_of_the_spec(client: Client) -> None:
    """Labels do not count."""
    labels = {"metadata": {"labels": {"a": "b"}}}
    assert (await client.request("PATCH", WEB, labels, headers=MERGE)).json()["metadata"]["generation"] == 1
    spec = {"spec": {"runStrategy": "Manual"}}
    assert (await client.request("PATCH", WEB, spec, headers=MERGE)).json()["metadata"]["generation"] == 2


async def test_a_merge_patch_removes_by_null_and_replaces_lists(client: Client) -> None:
    """RFC 7386."""
    first = {"metadata": {"labels": {"a": "1", "b": "2"}, "finalizers": ["x/y", "x/z"]}}
    await client.request("PATCH", WEB, first, headers=MERGE)
    second = {"metadata": {"labels": {"a": None, "c": "3"}, "finalizers": ["x/z"]}}
    meta = (await client.request("PATCH", WEB, second, headers=MERGE)).json()["metadata"]
    assert (meta["labels"], meta["finalizers"]) == ({"app": "web", "b": "2", "c": "3"}, ["x/z"])


async def test_strategic_merge_patch_is_unsupported(client: Client) -> None:
    """Custom resources have no merge keys."""
    kind = {"Content-Type": "application/strategic-merge-patch+json"}
    answer = await client.request("PATCH", WEB, {}, headers=kind)
    assert (answer.code, answer.json()["reason"]) == (415, "UnsupportedMediaType")


async def test_finalizers_keep_a_deleted_object(client: Client, cluster: SimulatedCluster) -> None:
    """DELETE marks the object, and it goes when its finalizers are gone."""
    cluster.create("virtualmachines", _vm("kept") | {"metadata": _meta("kept", finalizers=["x/y"])})
    path = f"{PROD_VMS}/kept"
    marked = (await client.request("DELETE", path)).json()
    assert marked["metadata"]["deletionTimestamp"]
    assert (await client.get(path)).code == 200
    await client.request("PATCH", path, {"metadata": {"finalizers": None}}, headers=MERGE)
    assert (await client.get(path)).code == 404


async def test_delete_answers_with_a_status(client: Client, cluster: SimulatedCluster) -> None:
    """Details name what is gone; a second delete is a 404; a wrong uid is a conflict."""
    cluster.create("virtualmachines", _vm("gone") | {"metadata": _meta("gone")})
    path = f"{PROD_VMS}/gone"
    wrong = await client.request("DELETE", path, {"preconditions": {"uid": "other"}})
    assert wrong.code == 409
    answer = (await client.request("DELETE", path)).json()
    assert (answer["status"], answer["details"]["name"]) == ("Success", "gone")
    assert (await client.request("DELETE", path)).code == 404


async def test_unreadable_body_is_a_bad_request(client: Client) -> None:
    """A list is no object."""
    assert (await client.request("POST", PROD_VMS, ["x"])).code == 400


async def test_namespaces_can_be_made(client: Client) -> None:
    """A new namespace holds objects at once."""
    assert (await client.request("POST", NAMESPACES, {"metadata": {"name": "fresh"}})).code == 201
    assert (await client.request("POST", PROD_VMS.replace("prod", "fresh"), _vm("x"))).code == 201


def _meta(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "namespace": "prod", **fields}
