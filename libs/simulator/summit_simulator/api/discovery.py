"""API discovery: which groups, versions and resources there are.

Clients that ask for aggregated discovery get the plain documents and fall back by the Content-Type, as with
servers before 1.26. There is no OpenAPI: `kubectl apply` and `create` need `--validate=false`.
"""

from collections.abc import Collection, Sequence

from summit_simulator.objects.infrastructure import KUBERNETES_VERSION
from summit_simulator.objects.manifest import Manifest
from summit_simulator.objects.resources import RESOURCES, SUBRESOURCES_GROUP, Resource
from summit_simulator.virtapi import subresources


def document(parts: Sequence[str], *, absent: Collection[str]) -> Manifest | None:
    """The document at a path that is no resource, None if there is none. `absent` groups are not installed."""
    served = [resource for resource in RESOURCES if resource.group not in absent]
    groups = {resource.group: _group(resource.group, resource.version) for resource in served if resource.group}
    if SUBRESOURCES_GROUP not in absent:
        groups[SUBRESOURCES_GROUP] = _group(SUBRESOURCES_GROUP, "v1")
    match parts:
        case ["version"]:
            return version(KUBERNETES_VERSION)
        case ["api"]:
            return {"kind": "APIVersions", "versions": ["v1"]}
        case ["apis"]:
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": list(groups.values())}
        case ["apis", name]:
            return {"kind": "APIGroup", "apiVersion": "v1"} | groups[name] if name in groups else None
        case ["api" | "apis", *rest]:
            api_version = "/".join(rest)
            listed = [_resource(resource) for resource in served if resource.api_version == api_version]
            if rest[0] == SUBRESOURCES_GROUP and rest[0] in groups:
                listed = [_subresource(name, verb) for name, verb in subresources.NAMES.items()]
            names = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version}
            return names | {"resources": listed} if listed else None
        case _:
            return None


def version(git_version: str) -> Manifest:
    """GET /version, and KubeVirt's /apis/subresources.kubevirt.io/v1/version."""
    major, minor = git_version.lstrip("v").split(".")[:2]
    return {"major": major, "minor": minor, "gitVersion": git_version, "platform": "linux/amd64"}


def _group(name: str, version: str) -> Manifest:
    entry = {"groupVersion": f"{name}/{version}", "version": version}
    return {"name": name, "versions": [entry], "preferredVersion": entry}


def _subresource(name: str, verb: str) -> Manifest:
    return {"name": name, "singularName": "", "namespaced": True, "kind": "", "verbs": [verb]}


def _resource(resource: Resource) -> Manifest:
    return {
        "name": resource.plural,
        "singularName": resource.kind.lower(),
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": ["create", "delete", "get", "list", "patch", "update", "watch"],
        "shortNames": list(resource.short_names),
    }
