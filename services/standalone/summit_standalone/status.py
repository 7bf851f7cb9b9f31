"""`summit-connect status`: the addresses and processes of an instance, for people."""

from collections.abc import Mapping
from typing import Any

from summit_standalone.public_address import public_address
from summit_standalone.table import render


def as_text(state: Mapping[str, Any]) -> str:
    """Two tables; users and passwords are in the JSON only."""
    addresses = [
        ("api", state.get("api")),
        ("nats", public_address(state.get("natsUrl", ""))),
        ("database", public_address(state.get("databaseUrl", ""))),
        ("data", state.get("dataDir")),
    ]
    processes = [
        (process["name"], process["pid"], process["state"], process["restarts"]) for process in state["processes"]
    ]
    tables = (render(("WHAT", "WHERE"), addresses), render(("PROCESS", "PID", "STATE", "RESTARTS"), processes))
    return "\n\n".join(tables)
