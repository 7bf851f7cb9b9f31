"""`summit-connect status`: the addresses and processes of an instance, for people."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from summit_standalone.table import render


def as_text(state: Mapping[str, Any]) -> str:
    """Two tables; passwords are in the JSON only."""
    addresses = [
        ("api", state.get("api")),
        ("nats", _without_password(state.get("natsUrl"))),
        ("database", _without_password(state.get("databaseUrl"))),
        ("data", state.get("dataDir")),
    ]
    processes = [
        (process["name"], process["pid"], process["state"], process["restarts"]) for process in state["processes"]
    ]
    tables = (render(("WHAT", "WHERE"), addresses), render(("PROCESS", "PID", "STATE", "RESTARTS"), processes))
    return "\n\n".join(tables)


def _without_password(url: str | None) -> str | None:
    if url is None or not (password := urlsplit(url).password):
        return url
    return url.replace(f":{password}@", ":***@", 1)
