"""The rights that actions need (those of config/rbac/operator.yaml), and the reviews that say who has them.

A SelfSubjectRulesReview lists all rules of a namespace in one answer. Authorizers that decide and list nothing, such as
the webhooks of GKE and EKS, make it `incomplete`; then a SelfSubjectAccessReview asks for each right alone.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from summit_models.operation import Action
from summit_watcher.kube.bounds import one_line
from summit_watcher.kube.connection import ClusterConnection
from summit_watcher.kube.errors import StatusError
from summit_watcher.kube.members import member

_GROUP = "authorization.k8s.io/v1"
_WHO_AM_I = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
_RULES = f"/apis/{_GROUP}/selfsubjectrulesreviews"
_ACCESS = f"/apis/{_GROUP}/selfsubjectaccessreviews"
_SUBRESOURCES, _KUBEVIRT = "subresources.kubevirt.io", "kubevirt.io"

NO_REVIEWS = frozenset({403, 404, 405})
"""Codes of a server that does not let us create reviews, or has none of this kind."""


class Right(NamedTuple):
    verb: str
    group: str
    resource: str
    """Plural, with its subresource."""


def _subresource(action: Action, plural: str) -> Right:
    return Right("update", _SUBRESOURCES, f"{plural}/{action}")


NEEDED: Mapping[Action, Right] = {
    **{a: _subresource(a, "virtualmachines") for a in (Action.START, Action.STOP, Action.RESTART)},
    **{
        a: _subresource(a, "virtualmachineinstances")
        for a in (Action.PAUSE, Action.UNPAUSE, Action.SOFTREBOOT, Action.RESET)
    },
    Action.MIGRATE: Right("create", _KUBEVIRT, "virtualmachineinstancemigrations"),
    Action.RESIZE: Right("patch", _KUBEVIRT, "virtualmachines"),
    Action.DELETE: Right("delete", _KUBEVIRT, "virtualmachines"),
}
CANCEL_MIGRATION = Right("delete", _KUBEVIRT, "virtualmachineinstancemigrations")


async def who_am_i(connection: ClusterConnection) -> str | None:
    """Our name in the cluster; None where the server does not know it (Kubernetes has SelfSubjectReview since 1.28).

    Raises WatcherErrors.
    """
    try:
        review = await connection.post(
            _WHO_AM_I, {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        )
    except StatusError as error:
        if error.code in NO_REVIEWS:
            return None
        raise
    name = member(review, "status", "userInfo", "username")
    return one_line(name) if isinstance(name, str) else None


async def allowed_in(connection: ClusterConnection, namespace: str, actions: Collection[Action]) -> frozenset[Action]:
    """Those of the actions that are allowed on at least one object in a namespace. Raises WatcherErrors."""
    body = _review("SelfSubjectRulesReview", {"namespace": namespace})
    status = member(await connection.post(_RULES, body), "status")
    rules = member(status, "resourceRules")
    found = {a for a in actions if any(_allows(rule, NEEDED[a]) for rule in rules or ())}
    if member(status, "incomplete") is not False or rules is None:
        for action in set(actions) - found:
            if await is_allowed(connection, NEEDED[action], namespace):
                found.add(action)
    return frozenset(found)


async def is_allowed(connection: ClusterConnection, right: Right, namespace: str = "") -> bool:
    """Whether we have a right in a namespace, or in all of them. Raises WatcherErrors."""
    resource, _, subresource = right.resource.partition("/")
    attributes = {"verb": right.verb, "group": right.group, "resource": resource, "namespace": namespace}
    attributes |= {"subresource": subresource} if subresource else {}
    answer = await connection.post(_ACCESS, _review("SelfSubjectAccessReview", {"resourceAttributes": attributes}))
    return member(answer, "status", "allowed") is True


def _review(kind: str, spec: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"apiVersion": _GROUP, "kind": kind, "spec": spec}


def _allows(rule: Any, right: Right) -> bool:
    """As RBAC compares (`pkg/apis/rbac/v1/evaluation_helpers.go`). A rule for named objects allows it on those."""
    subresource = right.resource.partition("/")[2]
    resources = {"*", right.resource, *((f"*/{subresource}",) if subresource else ())}
    return (
        not {"*", right.verb}.isdisjoint(_texts(rule, "verbs"))
        and not {"*", right.group}.isdisjoint(_texts(rule, "apiGroups"))
        and not resources.isdisjoint(_texts(rule, "resources"))
    )


def _texts(rule: Any, name: str) -> Iterable[str]:
    found = member(rule, name)
    return [text for text in found if isinstance(text, str)] if isinstance(found, list) else ()
