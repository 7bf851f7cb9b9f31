"""All metrics of ours as the table in docs/operations.md has them, made from their declarations."""

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from prometheus_client.metrics import MetricWrapperBase

import summit_api.metrics
import summit_api.operations.metrics
import summit_projector.metrics
import summit_runtime.metrics
import summit_runtime.operation_metrics
import summit_watcher.metrics
from summit_api.query import inventory

_MODULES: list[tuple[ModuleType, str]] = [
    (summit_runtime.metrics, "all"),
    (summit_watcher.metrics, "watcher"),
    (summit_projector.metrics, "projector"),
    (summit_api.metrics, "api"),
    (summit_api.operations.metrics, "api"),
    (summit_runtime.operation_metrics, "watcher, api"),
]


def rows() -> list[str]:
    """One line for each metric, in the order of its service and its name."""
    return ["| metric | of | labels | meaning |", "|---|---|---|---|", *_rows()]


def _rows() -> Iterator[str]:
    for module, who in _MODULES:
        declared = (value for value in vars(module).values() if isinstance(value, MetricWrapperBase))
        for metric in sorted(declared, key=_name):
            yield _row(_name(metric), who, metric._labelnames, metric._documentation)
    for family in inventory.FAMILIES:
        yield _row(family.name, "api, `/metrics/inventory`", family.labels, family.help)
    yield _row(inventory.LEFT_OUT, "api, `/metrics/inventory`", (), inventory.LEFT_OUT_HELP)


def _row(name: str, who: str, labels: Any, text: str) -> str:
    return f"| `{name}` | {who} | {', '.join(f'`{label}`' for label in labels) or '-'} | {text} |"


def _name(metric: MetricWrapperBase) -> str:
    """As Prometheus shows it: a counter ends with _total."""
    return metric._name + ("_total" if metric._type == "counter" else "")


if __name__ == "__main__":
    sys.stdout.write("\n".join(rows()) + "\n")
