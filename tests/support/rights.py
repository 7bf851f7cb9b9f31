"""The rules of config/rbac, as they are applied in a cluster."""

from collections.abc import Mapping
from typing import Any

import yaml
from support.paths import ROOT


def documents(name: str) -> list[Mapping[str, Any]]:
    """The objects in a file of config/rbac."""
    return list(yaml.safe_load_all((ROOT / "config" / "rbac" / name).read_text()))


def rules() -> dict[str, list[Mapping[str, Any]]]:
    """The rules of each ClusterRole without `summit-connect:`; "" for those of the watcher."""
    roles = [
        one for name in ("watcher.yaml", "operator.yaml") for one in documents(name) if one["kind"] == "ClusterRole"
    ]
    names = {role["metadata"]["name"].partition(":")[2]: role["rules"] for role in roles}
    return {"" if name == "watcher" else name: found for name, found in names.items()}
