"""docs/runbooks.md sends people at night only to what exists."""

import json
import re

import typer
from support.paths import ROOT

from summit_models.cluster import ConnectionState
from summit_standalone.cli import app

PAGE = (ROOT / "docs/runbooks.md").read_text()


def test_each_address_is_one_of_the_api() -> None:
    """With its parameters."""
    known = json.loads((ROOT / "docs/openapi.json").read_text())["paths"]
    addresses = re.findall(r"\$API(/[^\s`\"?]*)(?:\?(\w+)=)?", PAGE)
    assert len(addresses) > 8
    for path, parameter in addresses:
        operation = known[path.replace("$ID", "{vm_id}")]["get"]
        assert not parameter or parameter in [known["name"] for known in operation["parameters"]], path


def test_each_command_is_one_of_ours() -> None:
    """As people type it."""
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert set(re.findall(r"summit-connect\s+([a-z]+)", PAGE)) <= commands.keys()


def test_each_metric_and_each_state_has_its_place_in_the_reference() -> None:
    """docs/operations.md explains them."""
    metrics = set(re.findall(r"\bsummit_[a-z_]+", PAGE))
    assert metrics
    operations = (ROOT / "docs/operations.md").read_text()
    assert [name for name in sorted(metrics) if f"| `{name}` |" not in operations] == []
    listed = PAGE.partition("`state` of that cluster says")[2].partition("`reason` names")[0]
    states = re.findall(r"`([a-z_]+)`", listed)
    assert len(states) > 4
    assert set(states) <= set(ConnectionState)
