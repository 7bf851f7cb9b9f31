"""Tokens, rules and kubeconfigs of a simulated cluster."""

import stat
from pathlib import Path

import yaml
from support.simulator_client import PROD_VMS, VMS, Client

from summit_simulator import SimulatedCluster


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_unknown_token_is_unauthorized(client: Client, cluster: SimulatedCluster) -> None:
    """401 is a Status, and the log has no user."""
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
    """The 403 has the text of RBAC's, and ends when the rule is taken back."""
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


async def test_kubeconfig_is_private_and_complete(cluster: SimulatedCluster, tmp_path: Path) -> None:
    """Mode 0600, with server, embedded CA and token."""
    path = cluster.write_kubeconfig(tmp_path / "deep" / "vulcan.yaml")
    config = yaml.safe_load(path.read_text())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert config["current-context"] == "vulcan"
    assert config["clusters"][0]["cluster"].keys() == {"server", "certificate-authority-data"}
    assert config["users"][0]["user"] == {"token": cluster.token}


async def test_discovery_leads_to_every_resource(client: Client) -> None:
    """Each listed group version is served, each resource in it can be listed."""
    groups = (await client.get("/apis")).json()["groups"]
    paths = ["/api/v1", *(f"/apis/{version['groupVersion']}" for group in groups for version in group["versions"])]
    for path in paths:
        for resource in (await client.get(path)).json()["resources"]:
            if "list" in resource["verbs"]:
                assert (await client.get(f"{path}/{resource['name']}")).code == 200
