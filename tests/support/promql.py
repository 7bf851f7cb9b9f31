"""The expressions of config/prometheus and config/grafana, and what is asked in them."""

import json
import re
from typing import Any

import yaml
from support.paths import ROOT

ALERTS = ROOT / "config/prometheus/alerts.yaml"
DASHBOARD = ROOT / "config/grafana/dashboards/summit-connect.json"

_SELECTOR = re.compile(r'\b(?:summit_|process_)\w+(?:\{(?:[^"{}]|"[^"]*")*\})?')
_VARIABLES = {"$__rate_interval": "1m", "$cluster": ".*"}


def rules() -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = yaml.safe_load(ALERTS.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    """The panels of the dashboard without its rows."""
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def dashboard_expressions() -> list[str]:
    """Each expression of the dashboard, as Grafana sends it when all clusters are chosen."""
    expressions = [target["expr"] for panel in panels() for target in panel["targets"]]
    for variable, value in _VARIABLES.items():
        expressions = [expression.replace(variable, value) for expression in expressions]
    return expressions


def selectors(expression: str) -> list[str]:
    """The series that an expression reads: names of metrics, with their conditions on labels."""
    return _SELECTOR.findall(expression)


def names(expression: str) -> set[str]:
    """The metrics of ours in an expression."""
    return {name for name in re.findall(r"summit_\w+", expression) if name.startswith("summit_")}
