"""Kubeconfigs, in the variants that operators really hand out."""

import base64
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import yaml

from summit_simulator.access.tls import CertificateAuthority
from summit_simulator.objects.manifest import Manifest

Credential = Literal["token", "token-file", "certificate"]


def render(*, name: str, server: str, user: Manifest, ca_pem: bytes | None) -> Manifest:
    """A kubeconfig with one cluster, one user and one context, all named alike."""
    cluster: Manifest = {"server": server}
    if ca_pem is not None:
        cluster["certificate-authority-data"] = embedded(ca_pem)
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [{"name": name, "cluster": cluster}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "users": [{"name": name, "user": user}],
    }


def credential(
    path: Path,
    user: str,
    *,
    kind: Credential,
    token_of: Callable[[str], str],
    authority: CertificateAuthority | None,
) -> Manifest:
    """The user of a kubeconfig at that path; a token file is written beside it. Certificates need a CA."""
    if kind == "certificate":
        if authority is None:
            raise ValueError(f"{path}: a client certificate for {user!r} needs a cluster with tls=True")
        pair = authority.issue_client(user)
        data = {"client-certificate-data": pair.certificate_pem, "client-key-data": pair.key_pem}
        return {name: embedded(pem) for name, pem in data.items()}
    if kind == "token-file":
        # With a newline at its end, as `kubectl create token > file` leaves one.
        return {"tokenFile": write_private(path.with_suffix(".token"), f"{token_of(user)}\n").name}
    return {"token": token_of(user)}


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
