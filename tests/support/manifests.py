"""The manifests in deploy/ and config/rbac, and what Kubernetes makes of one."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from kubernetes.client import ApiClient
from support.paths import ROOT

Manifest = Mapping[str, Any]

BASE, EXAMPLE = ROOT / "deploy/kustomize/base", ROOT / "deploy/kustomize/example"
EDGE = ROOT / "deploy/edge"
_PARTIAL = {"kustomization.yaml", "datacenters.yaml", "kubeconfig.yaml", "api-patch.yaml"}
"""Files that hold no whole object of Kubernetes."""


def manifests(*directories: Path) -> list[Manifest]:
    """All objects in these directories."""
    files = [file for directory in directories for file in sorted(directory.glob("*.yaml"))]
    return [document for file in files if file.name not in _PARTIAL for document in parsed(file.read_text())]


def parsed(text: str) -> Iterator[Manifest]:
    yield from yaml.safe_load_all(text)


def name_of(manifest: Manifest) -> str:
    return f"{manifest['kind']}/{manifest['metadata']['name']}"


def of_kind(kind: str, among: Sequence[Manifest]) -> dict[str, Manifest]:
    """The objects of a kind by their names."""
    return {found["metadata"]["name"]: found for found in among if found["kind"] == kind}


def read_back(manifest: Manifest) -> Any:
    """The object as Kubernetes' own client for Python understands it; its types are made from Kubernetes' schemas.

    A member that does not exist is missing in it. Raises ValueError for a value of another type, and for a required
    member that is not there.
    """
    client = ApiClient()
    read = client.deserialize(json.dumps(manifest), f"V1{manifest['kind']}", "application/json")
    return client.sanitize_for_serialization(read)
