"""Access reviews: what a client may do, and which user it is."""

from collections.abc import Callable
from typing import Any

from summit_simulator.access.authorization import Access, Attributes
from summit_simulator.objects.manifest import Manifest

Review = Callable[[Access, str, Any], Manifest]


def access_review(access: Access, user: str, body: Any) -> Manifest:
    """SelfSubjectAccessReview of authorization.k8s.io/v1."""
    spec = body.get("spec") or {}
    wanted = spec.get("resourceAttributes") or {}
    plural, subresource = wanted.get("resource", ""), wanted.get("subresource")
    attributes = Attributes(
        wanted.get("verb", ""),
        wanted.get("group", ""),
        f"{plural}/{subresource}" if subresource else plural,
        wanted.get("namespace", ""),
        wanted.get("name", ""),
    )
    allowed = access.may(user, attributes)
    status = {"allowed": allowed} | ({} if allowed else {"reason": "forbidden by a rule of the simulator"})
    kind = {"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1"}
    return kind | {"metadata": {}, "spec": spec, "status": status}


def identity_review(_access: Access, user: str, _body: Any) -> Manifest:
    """SelfSubjectReview of authentication.k8s.io/v1."""
    info = {"username": user, "groups": ["system:authenticated"]}
    kind = {"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"}
    return kind | {"metadata": {}, "status": {"userInfo": info}}


REVIEWS: dict[tuple[str, str], Review] = {
    ("authorization.k8s.io", "selfsubjectaccessreviews"): access_review,
    ("authentication.k8s.io", "selfsubjectreviews"): identity_review,
}
