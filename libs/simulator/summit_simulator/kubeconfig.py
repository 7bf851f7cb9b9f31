"""Kubeconfigs, in the variants that operators really hand out."""

import base64
import os
from pathlib import Path
from typing import Any

import yaml

from summit_simulator.manifest import Manifest


def render(*, name: str, server: str, user: Manifest, ca_pem: bytes | None, namespace: str | None = None) -> Manifest:
    """A kubeconfig with one cluster, one user and one context, all named alike."""
    cluster: Manifest = {"server": server}
    if ca_pem is not None:
        cluster["certificate-authority-data"] = embedded(ca_pem)
    context = {"cluster": name, "user": name} | ({"namespace": namespace} if namespace else {})
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [{"name": name, "cluster": cluster}],
        "contexts": [{"name": name, "context": context}],
        "users": [{"name": name, "user": user}],
    }


def embedded(pem: bytes) -> str:
    """PEM as the `*-data` members hold it."""
    return base64.b64encode(pem).decode()


def write_private(path: Path, text: str) -> Path:
    """Write a file that only its owner may read, replacing it in one step: a watcher may be reading it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    return partial.replace(path)


def write(path: Path, config: dict[str, Any]) -> Path:
    """Write a kubeconfig as YAML, mode 0600."""
    return write_private(path, yaml.safe_dump(config, sort_keys=False))
