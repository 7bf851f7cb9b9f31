"""Who gets into a simulated cluster, and with which kubeconfig."""

import ssl
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from support.simulator_client import PROD_VMS, VMS, Client

from summit_simulator import SimulatedCluster

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
WHO_AM_I = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


@pytest.fixture
async def cluster() -> AsyncIterator[SimulatedCluster]:
    """An empty cluster."""
    async with SimulatedCluster("vulcan") as cluster:
        yield cluster


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_unknown_token_is_unauthorized(client: Client, cluster: SimulatedCluster) -> None:
    """401 is a Status, and the log says that nobody came."""
    answer = await client.request("GET", VMS, headers=_bearer("wrong"))
    assert (answer.code, answer.json()["reason"], answer.json()["message"]) == (401, "Unauthorized", "Unauthorized")
    assert cluster.requests[-1].user is None


async def test_anonymous_requests_are_forbidden_and_logged(client: Client, cluster: SimulatedCluster) -> None:
    """Without a credential one is system:anonymous, who may ask for health and version only."""
    answer = await client.request("GET", VMS, headers=_bearer(""))
    assert answer.code == 403
    assert 'User "system:anonymous" cannot list resource "virtualmachines"' in answer.json()["message"]
    assert cluster.requests[-1].user == "system:anonymous"
    assert (await client.request("GET", "/version", headers=_bearer(""))).code == 200


async def test_a_rule_forbids_one_verb_on_one_resource(client: Client, cluster: SimulatedCluster) -> None:
    """403 speaks as RBAC does, and ends when the rule is taken back."""
    rule = cluster.access.forbid("list", "virtualmachines", user="admin")
    answer = await client.get(PROD_VMS)
    assert answer.json()["message"] == (
        'virtualmachines.kubevirt.io is forbidden: User "admin" cannot list resource "virtualmachines" '
        'in API group "kubevirt.io" in the namespace "prod"'
    )
    assert (answer.code, answer.json()["details"]) == (403, {"group": "kubevirt.io", "kind": "virtualmachines"})
    assert (await client.get(VMS, watch="1", timeoutSeconds="1")).code == 200
    cluster.access.allow(rule)
    assert (await client.get(VMS)).code == 200


async def test_rules_hold_for_their_user_and_namespace(client: Client, cluster: SimulatedCluster) -> None:
    """Others, and other namespaces, are not concerned."""
    other = cluster.access.add_token("other")
    cluster.access.forbid("*", "*", namespace="prod", user="other")
    assert (await client.request("GET", PROD_VMS, headers=_bearer(other))).code == 403
    assert (await client.request("GET", VMS, headers=_bearer(other))).code == 200
    assert (await client.get(PROD_VMS)).code == 200


async def test_revoked_tokens_stay_out_until_a_new_one(client: Client, cluster: SimulatedCluster) -> None:
    """Rotation: the old token is refused, the new one is let in."""
    old = cluster.token
    cluster.access.revoke("admin")
    cluster.access.add_token("admin")
    assert (await client.request("GET", VMS, headers=_bearer(old))).code == 401
    assert (await client.get(VMS)).code == 200


async def test_access_reviews_say_what_the_rules_say(client: Client, cluster: SimulatedCluster) -> None:
    """SelfSubjectAccessReview and SelfSubjectReview answer for the caller."""
    cluster.access.forbid("watch", "virtualmachineinstancemigrations")
    assert await _may(client, verb="watch", resource="virtualmachines")
    assert not await _may(client, verb="watch", resource="virtualmachineinstancemigrations")
    who = (await client.request("POST", WHO_AM_I, {})).json()
    assert who["status"]["userInfo"]["username"] == "admin"


async def _may(client: Client, **attributes: str) -> Any:
    body = {"spec": {"resourceAttributes": {"group": "kubevirt.io", **attributes}}}
    return (await client.request("POST", REVIEWS, body)).json()["status"]["allowed"]


async def test_kubeconfig_is_private_and_complete(cluster: SimulatedCluster, tmp_path: Path) -> None:
    """Mode 0600, with server, embedded CA and token."""
    path = cluster.write_kubeconfig(tmp_path / "deep" / "vulcan.yaml")
    config = yaml.safe_load(path.read_text())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert config["current-context"] == "vulcan"
    assert config["clusters"][0]["cluster"].keys() == {"server", "certificate-authority-data"}
    assert config["users"][0]["user"] == {"token": cluster.token}


async def test_kubeconfig_may_point_to_a_token_file(cluster: SimulatedCluster, tmp_path: Path) -> None:
    """The file lies beside the kubeconfig, is private, and ends with a newline."""
    path = cluster.write_kubeconfig(tmp_path / "vulcan.yaml", credential="token-file")
    token_file = tmp_path / yaml.safe_load(path.read_text())["users"][0]["user"]["tokenFile"]
    assert token_file.read_text() == f"{cluster.token}\n"
    assert stat.S_IMODE(token_file.stat().st_mode) == 0o600


async def test_client_certificates_name_the_user(cluster: SimulatedCluster, tmp_path: Path) -> None:
    """The common name is who one is."""
    assert cluster.authority is not None
    pair = cluster.authority.issue_client("alice")
    (tmp_path / "crt").write_bytes(pair.certificate_pem)
    (tmp_path / "key").write_bytes(pair.key_pem)
    trust = ssl.create_default_context(cadata=cluster.authority.certificate_pem.decode())
    trust.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as session,
        session.post(cluster.url + WHO_AM_I, json={}) as response,
    ):
        assert (await response.json())["status"]["userInfo"]["username"] == "alice"


async def test_other_clusters_certificates_are_refused(cluster: SimulatedCluster) -> None:
    """Each cluster has a CA of its own."""
    async with SimulatedCluster("romulus") as other:
        assert other.authority is not None
        trust = ssl.create_default_context(cadata=other.authority.certificate_pem.decode())
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as session:
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await session.get(cluster.url)


async def test_discovery_leads_to_every_resource(client: Client) -> None:
    """Each listed group version is served, each resource in it can be listed."""
    groups = (await client.get("/apis")).json()["groups"]
    paths = ["/api/v1", *(f"/apis/{version['groupVersion']}" for group in groups for version in group["versions"])]
    for path in paths:
        for resource in (await client.get(path)).json()["resources"]:
            if "list" in resource["verbs"]:
                assert (await client.get(f"{path}/{resource['name']}")).code == 200


async def test_health_and_versions(client: Client, cluster: SimulatedCluster) -> None:
    """Kubernetes and KubeVirt have versions, the cluster an identity and a deployed KubeVirt."""
    assert (await client.get("/livez")).body == b"ok"
    assert (await client.get("/version")).json()["gitVersion"].startswith("v1.")
    assert (await client.get("/apis/subresources.kubevirt.io/v1/version")).json()["gitVersion"].startswith("v1.")
    system = (await client.get("/api/v1/namespaces/kube-system")).json()
    assert system["metadata"]["uid"] == cluster.uid
    kubevirts = (await client.get("/apis/kubevirt.io/v1/kubevirts")).json()["items"]
    assert [kubevirt["status"]["phase"] for kubevirt in kubevirts] == ["Deployed"]
