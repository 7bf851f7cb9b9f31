"""The official Python client acts on VMs of a simulated cluster, with TLS and a kubeconfig."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from summit_simulator import SimulatedCluster

KUBEVIRT = ("kubevirt.io", "v1", "prod")


@pytest.fixture
async def cluster() -> AsyncIterator[SimulatedCluster]:
    """A cluster with a running VM, behind TLS."""
    async with SimulatedCluster("vulcan") as cluster:
        cluster.create_vm("web", namespace="prod", run_strategy="Always")
        await cluster.settle()
        yield cluster


@pytest.fixture
def api(cluster: SimulatedCluster, tmp_path: Path) -> client.CustomObjectsApi:
    """The client for custom resources."""
    kubeconfig = cluster.write_kubeconfig(tmp_path / "kubeconfig")
    return client.CustomObjectsApi(config.new_client_from_config(str(kubeconfig)))


async def _call(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    return await asyncio.to_thread(function, *arguments, **options)


async def test_it_creates_and_deletes_migrations(cluster: SimulatedCluster, api: client.CustomObjectsApi) -> None:
    """A denial is an ApiException with its code."""
    plural = "virtualmachineinstancemigrations"
    body = {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstanceMigration",
        "metadata": {"name": "m"},
        "spec": {"vmiName": "web"},
    }
    await _call(api.create_namespaced_custom_object, *KUBEVIRT, plural, body, dry_run="All")
    await _call(api.create_namespaced_custom_object, *KUBEVIRT, plural, body)
    with pytest.raises(ApiException) as caught:
        await _call(api.create_namespaced_custom_object, *KUBEVIRT, plural, body)
    assert (caught.value.status, "in-flight migration detected" in str(caught.value.body)) == (400, True)
    await _call(api.delete_namespaced_custom_object, *KUBEVIRT, plural, "m")
    await cluster.settle()
    assert cluster.get(plural, "m", "prod") is None


async def test_it_patches_and_deletes_vms(cluster: SimulatedCluster, api: client.CustomObjectsApi) -> None:
    """A merge patch, and a delete that names the uid."""
    change = {"spec": {"template": {"spec": {"domain": {"cpu": {"sockets": 2}}}}}}
    api.api_client.set_default_header("Content-Type", "application/merge-patch+json")
    await _call(api.patch_namespaced_custom_object, *KUBEVIRT, "virtualmachines", "web", change)
    wrong = client.V1DeleteOptions(preconditions=client.V1Preconditions(uid="other"))
    with pytest.raises(ApiException) as caught:
        await _call(api.delete_namespaced_custom_object, *KUBEVIRT, "virtualmachines", "web", body=wrong)
    assert caught.value.status == 409
    await _call(api.delete_namespaced_custom_object, *KUBEVIRT, "virtualmachines", "web")
    await cluster.settle()
    assert cluster.truth("virtualmachines")["virtualmachines"] == {}


async def test_it_asks_for_subresources_and_rights(cluster: SimulatedCluster, api: client.CustomObjectsApi) -> None:
    """PUT by path, as there is no generated method, and SelfSubjectAccessReview."""
    path = "/apis/subresources.kubevirt.io/v1/namespaces/prod/virtualmachines/web/stop"
    put = api.api_client.param_serialize("PUT", path, body={}, auth_settings=["BearerToken"])
    assert (await _call(api.api_client.call_api, *put)).status == 202
    await cluster.settle()
    assert cluster.truth("virtualmachineinstances")["virtualmachineinstances"] == {}
    attributes = client.V1ResourceAttributes(
        verb="update", group="subresources.kubevirt.io", resource="virtualmachines", subresource="stop"
    )
    review = client.V1SelfSubjectAccessReview(spec=client.V1SelfSubjectAccessReviewSpec(resource_attributes=attributes))
    rights = client.AuthorizationV1Api(api.api_client)
    assert (await _call(rights.create_self_subject_access_review, review)).status.allowed is True
    cluster.access.forbid("update", "virtualmachines/stop")
    assert (await _call(rights.create_self_subject_access_review, review)).status.allowed is False
