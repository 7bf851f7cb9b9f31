"""API discovery: which groups, versions and resources there are.

Clients that ask for aggregated discovery get the plain documents and fall back by the Content-Type, as with
servers before 1.26. There is no OpenAPI: `kubectl apply` and `create` need `--validate=false`.
"""

from collections.abc import Iterable, Sequence

from summit_simulator.objects.infrastructure import KUBERNETES_VERSION, KUBEVIRT_VERSION
from summit_simulator.objects.manifest import Manifest
from summit_simulator.objects.resources import (
    KUBEVIRT_GROUPS,
    READ_WRITE,
    RESOURCES,
    SUBRESOURCES_GROUP,
    VIRTUALMACHINEINSTANCES,
    VIRTUALMACHINES,
    Resource,
)

_REVIEWS = {
    ("authorization.k8s.io", "v1"): ("selfsubjectaccessreviews", "SelfSubjectAccessReview"),
    ("authentication.k8s.io", "v1"): ("selfsubjectreviews", "SelfSubjectReview"),
}


def document(parts: Sequence[str], *, host: str, kubevirt_installed: bool) -> Manifest | None:
    """The document at a path that is no resource, None if there is none."""
    installed = kubevirt_installed
    match parts:
        case ["version"]:
            return version()
        case ["api"]:
            return api_versions(host)
        case ["apis"]:
            return group_list(kubevirt_installed=installed)
        case ["apis", name]:
            return group(name, kubevirt_installed=installed)
        case ["api" | "apis", *rest]:
            name, served = (*([""] if parts[0] == "api" else []), *rest)[:2]
            return resource_list(name, served, kubevirt_installed=installed)
        case _:
            return None


def version() -> Manifest:
    """GET /version."""
    major, minor = KUBERNETES_VERSION.lstrip("v").split(".")[:2]
    return {
        "major": major,
        "minor": minor,
        "gitVersion": KUBERNETES_VERSION,
        "gitCommit": "0000000000000000000000000000000000000000",
        "gitTreeState": "clean",
        "buildDate": "2026-01-01T00:00:00Z",
        "goVersion": "go1.24.6",
        "compiler": "gc",
        "platform": "linux/amd64",
    }


def kubevirt_version() -> Manifest:
    """GET /apis/subresources.kubevirt.io/v1/version."""
    return version() | {"gitVersion": KUBEVIRT_VERSION, "gitCommit": "0" * 40}


def api_versions(server_address: str) -> Manifest:
    """GET /api."""
    served = [{"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}]
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": served}


def group_list(*, kubevirt_installed: bool) -> Manifest:
    """GET /apis."""
    groups = [_group(group, version) for group, version in _group_versions(kubevirt_installed)]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def group(name: str, *, kubevirt_installed: bool) -> Manifest | None:
    """GET /apis/<group>; None if there is no such group."""
    for found, served in _group_versions(kubevirt_installed):
        if found == name:
            return {"kind": "APIGroup", "apiVersion": "v1"} | _group(found, served)
    return None


def resource_list(group_name: str, version_name: str, *, kubevirt_installed: bool) -> Manifest | None:
    """GET /api/v1 or /apis/<group>/<version>; None if it is not served."""
    if group_name and (group_name, version_name) not in _group_versions(kubevirt_installed):
        return None
    if not group_name and version_name != "v1":
        return None
    group_version = f"{group_name}/{version_name}" if group_name else version_name
    listed = list(_resources_of(group_name, version_name))
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": listed}


def _group_versions(kubevirt_installed: bool) -> list[tuple[str, str]]:
    found = dict.fromkeys((resource.group, resource.version) for resource in RESOURCES if resource.group)
    found |= dict.fromkeys([(SUBRESOURCES_GROUP, "v1"), *_REVIEWS])
    return [served for served in found if kubevirt_installed or served[0] not in KUBEVIRT_GROUPS]


def _group(name: str, served: str) -> Manifest:
    entry = {"groupVersion": f"{name}/{served}", "version": served}
    return {"name": name, "versions": [entry], "preferredVersion": entry}


def _resources_of(group_name: str, version_name: str) -> Iterable[Manifest]:
    for resource in RESOURCES:
        if (resource.group, resource.version) == (group_name, version_name):
            yield _resource(resource)
            if resource.has_status:
                entry: Manifest = {"name": f"{resource.plural}/status", "singularName": "", "kind": resource.kind}
                yield entry | {"namespaced": resource.namespaced, "verbs": ["get", "patch", "update"]}
    if group_name == SUBRESOURCES_GROUP:
        for resource in (VIRTUALMACHINES, VIRTUALMACHINEINSTANCES):
            for name in resource.subresources:
                served: Manifest = {"name": f"{resource.plural}/{name}", "singularName": "", "namespaced": True}
                yield served | {"kind": resource.kind, "verbs": ["update"]}
    if (group_name, version_name) in _REVIEWS:
        plural, kind = _REVIEWS[group_name, version_name]
        yield {"name": plural, "singularName": kind.lower(), "namespaced": False, "kind": kind, "verbs": ["create"]}


def _resource(resource: Resource) -> Manifest:
    entry: Manifest = {"name": resource.plural, "singularName": resource.singular}
    entry |= {"namespaced": resource.namespaced, "kind": resource.kind, "verbs": list(READ_WRITE)}
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    return entry | ({"categories": ["all"]} if resource.group == "kubevirt.io" else {})
