"""Who may do what: SelfSubjectAccessReview and the 403 agree, by forbidden verbs and by the rules of a Role."""

from typing import Any

import pytest
from support.virtctl import PLACE, SUBRESOURCES, Virtctl, refusal

from summit_simulator.objects.resources import KUBEVIRT_GROUPS

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
RULES_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
GROUP = "subresources.kubevirt.io"
OPERATOR = [
    {"apiGroups": ["kubevirt.io"], "resources": ["virtualmachines"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": [GROUP], "resources": ["virtualmachines/start", "virtualmachines/stop"], "verbs": ["update"]},
]


async def _may(virtctl: Virtctl, verb: str, resource: str, *, token: str = "", **attributes: str) -> bool:
    plural, _, subresource = resource.partition("/")
    asked: dict[str, Any] = {"verb": verb, "resource": plural, "namespace": "prod"} | attributes
    asked |= {"subresource": subresource} if subresource else {}
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    body = {
        "kind": "SelfSubjectAccessReview",
        "apiVersion": "authorization.k8s.io/v1",
        "spec": {"resourceAttributes": asked},
    }
    answer = await virtctl.client.request("POST", REVIEWS, body, headers=headers)
    assert (answer.code, answer.json()["kind"]) == (201, "SelfSubjectAccessReview")
    return bool(answer.json()["status"]["allowed"])


async def test_a_forbidden_subresource_is_forbidden_alone(virtctl: Virtctl) -> None:
    """403 with the text of RBAC, and the review says the same; the others are allowed."""
    await virtctl.create()
    virtctl.cluster.access.forbid("update", "virtualmachines/start")
    assert refusal(await virtctl.ask("start")) == (
        403,
        (
            'virtualmachines.subresources.kubevirt.io "web" is forbidden: User "admin" cannot update resource '
            '"virtualmachines/start" in API group "subresources.kubevirt.io" in the namespace "prod"'
        ),
    )
    assert await _may(virtctl, "update", "virtualmachines/start", group=GROUP) is False
    assert await _may(virtctl, "update", "virtualmachines/stop", group=GROUP) is True
    assert virtctl.cluster.acts_on(PLACE) == []


async def _rules(virtctl: Virtctl, token: str, namespace: str) -> Any:
    body = {
        "kind": "SelfSubjectRulesReview",
        "apiVersion": "authorization.k8s.io/v1",
        "spec": {"namespace": namespace},
    }
    headers = {"Authorization": f"Bearer {token}"}
    answer = await virtctl.client.request("POST", RULES_REVIEWS, body, headers=headers)
    assert (answer.code, answer.json()["kind"]) == (201, "SelfSubjectRulesReview")
    return answer.json()["status"]


async def test_a_rules_review_lists_the_rules_of_a_namespace(virtctl: Virtctl) -> None:
    """Those that are bound there and everywhere; who has no bindings may do everything."""
    access = virtctl.cluster.access
    token = access.add_token("operator")
    everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
    assert (await _rules(virtctl, token, "prod"))["resourceRules"] == [everything]
    access.bind("operator", OPERATOR[:1])
    access.bind("operator", OPERATOR[1:], namespace="prod")
    assert await _rules(virtctl, token, "prod") == {
        "resourceRules": OPERATOR,
        "nonResourceRules": [],
        "incomplete": False,
    }
    assert (await _rules(virtctl, token, "dev"))["resourceRules"] == OPERATOR[:1]
    access.has_webhook = True
    assert (await _rules(virtctl, token, "prod"))["incomplete"] is True


async def test_a_user_with_a_role_may_do_what_it_says_and_nothing_else(virtctl: Virtctl) -> None:
    """In the namespace of the binding only."""
    await virtctl.create("Always")
    token = virtctl.cluster.access.add_token("operator")
    virtctl.cluster.access.bind("operator", OPERATOR, namespace="prod")
    headers = {"Authorization": f"Bearer {token}"}
    expected = {("virtualmachines/stop", GROUP): True, ("virtualmachines/restart", GROUP): False}
    for (resource, group), allowed in expected.items():
        assert await _may(virtctl, "update", resource, token=token, group=group) is allowed
        assert (await virtctl.ask(resource.split("/")[1], headers=headers)).code == (202 if allowed else 403)
    assert await _may(virtctl, "update", "virtualmachines/stop", token=token, group=GROUP, namespace="dev") is False
    assert (await virtctl.client.request("GET", "/apis/kubevirt.io/v1/virtualmachines", headers=headers)).code == 403
    assert (await virtctl.client.request("GET", "/apis", headers=headers)).code == 200


@pytest.mark.parametrize(
    ("rule", "allowed"),
    [
        ({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}, True),
        ({"apiGroups": [GROUP], "resources": ["virtualmachines/stop"], "verbs": ["get"]}, False),
        ({"apiGroups": ["kubevirt.io"], "resources": ["virtualmachines/stop"], "verbs": ["update"]}, False),
        ({"apiGroups": [GROUP], "resources": ["virtualmachines"], "verbs": ["update"]}, False),
        (
            {
                "apiGroups": [GROUP],
                "resources": ["virtualmachines/stop"],
                "verbs": ["update"],
                "resourceNames": ["db"],
            },
            False,
        ),
        (
            {
                "apiGroups": [GROUP],
                "resources": ["virtualmachines/stop"],
                "verbs": ["update"],
                "resourceNames": ["web"],
            },
            True,
        ),
    ],
)
async def test_a_rule_has_to_fit_in_every_part(virtctl: Virtctl, rule: Any, allowed: bool) -> None:
    """Group, resource with its subresource, verb, and name."""
    await virtctl.create("Always")
    token = virtctl.cluster.access.add_token("operator")
    virtctl.cluster.access.bind("operator", [rule])
    answer = await virtctl.ask("stop", headers={"Authorization": f"Bearer {token}"})
    assert answer.code == (202 if allowed else 403)


async def test_discovery_names_the_subresources(virtctl: Virtctl) -> None:
    """As virt-api registers them with the aggregation layer."""
    listed = (await virtctl.client.get(f"/apis/{GROUP}/v1")).json()["resources"]
    verbs = {resource["name"]: resource["verbs"] for resource in listed}
    assert verbs["virtualmachines/start"] == ["update"]
    assert verbs["virtualmachineinstances/guestosinfo"] == ["get"]


async def test_without_kubevirt_there_are_no_subresources(virtctl: Virtctl) -> None:
    """404 in plain text."""
    await virtctl.create()
    virtctl.cluster.uninstall(KUBEVIRT_GROUPS)
    answer = await virtctl.client.request("PUT", f"{SUBRESOURCES}/virtualmachines/web/start")
    assert (answer.code, answer.body) == (404, b"404 page not found\n")
