"""`summit-connect status`: the addresses and processes of an instance and the state of its tables, for people."""

from collections.abc import Mapping
from typing import Any

from summit_runtime.settings import public_address
from summit_standalone.commands.table import render

REASON_LENGTH = 100
"""A line of a terminal; the whole sentence is in the JSON and in the table `dead_letters`."""


def as_text(state: Mapping[str, Any]) -> str:
    """Tables; users and passwords are in the JSON only."""
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
    return "\n\n".join((*tables, *_applied(state.get("applied", {}))))


def _applied(applied: Mapping[str, Any]) -> list[str]:
    if not applied:
        return []
    if error := applied.get("error"):
        return [f"tables: {error}"]
    letters = applied["setAside"]
    row = (applied["revision"], applied["appliedAt"], letters["count"])
    events = [(event["revision"], event["subject"], _one_line(event["reason"])) for event in letters["newest"]]
    shown = [render(("APPLIED REVISION", "AT", "DEAD LETTERS"), [row])]
    return shown + ([render(("DEAD LETTER", "SUBJECT", "REASON"), events)] if events else [])


def _one_line(reason: str) -> str:
    line = " ".join(reason.split())
    return line if len(line) <= REASON_LENGTH else f"{line[: REASON_LENGTH - 1]}…"
