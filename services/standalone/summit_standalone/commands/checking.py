"""`summit-connect check`: what is wrong with datacenters.yaml and its clusters, as a table or as JSON."""

import asyncio
import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic.alias_generators import to_camel

from summit_models.operation import Action
from summit_standalone.commands.table import render
from summit_watcher.check import ClusterReport, check_clusters
from summit_watcher.config.datacenters import Configuration, load
from summit_watcher.config.entries import EXAMPLE

_HEADER = ("CLUSTER", "DATACENTER", "STATUS", "VERSION", "USER", "KUBEVIRT", "ACCESS", "ACTIONS", "CERTIFICATE")


@dataclass(frozen=True)
class Findings:
    path: Path
    configuration: Configuration
    reports: Sequence[ClusterReport]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong and there is a cluster to watch. Warnings do not count."""
        wrong = self.configuration.mistakes or any(report.problems for report in self.reports)
        return not wrong and bool(self.reports)


def check(path: Path) -> Findings:
    configuration = load(path)
    with _without_log():
        reports = asyncio.run(check_clusters(configuration.clusters))
    return Findings(path, configuration, reports)


@contextmanager
def _without_log() -> Iterator[None]:
    """The report contains what the connections would log."""
    logger = logging.getLogger("summit")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def as_json(findings: Findings) -> str:
    mistakes = [{"line": mistake.line, "text": mistake.text} for mistake in findings.configuration.mistakes]
    clusters = [_camel_case(asdict(report)) for report in findings.reports]
    content = {"config": str(findings.path), "ok": findings.ok, "mistakes": mistakes, "clusters": clusters}
    return json.dumps(content, indent=2, default=str)


def as_text(findings: Findings, now: datetime) -> str:
    """The table of clusters, and below it every mistake, problem, warning and note as a sentence of its own."""
    parts = []
    if findings.reports:
        parts.append(render(_HEADER, [_row(report, now) for report in findings.reports]))
    elif not findings.configuration.mistakes:
        parts.append(f"{findings.path} declares no cluster: add one as in {EXAMPLE}")
    if sentences := _sentences(findings):
        parts.append("\n".join(sentences))
    return "\n\n".join(parts)


def _row(report: ClusterReport, now: datetime) -> tuple[object, ...]:
    status = "failed" if report.problems else "warning" if report.warnings else "ok"
    access = {None: None, True: "list,watch", False: "denied"}[report.allowed]
    found = (report.server_version, report.user, report.kubevirt, access, _actions(report), _certificates(report, now))
    return (report.name, report.datacenter, status, *found)


def _actions(report: ClusterReport) -> str | None:
    """The actions on VMs that are allowed in all namespaces."""
    if report.may is None:
        return None
    return "all" if len(report.may) == len(Action) else ",".join(report.may) or "none"


def _certificates(report: ClusterReport, now: datetime) -> str | None:
    """When the server's and the client's certificate end, such as "server 364d, client 29d"."""
    ends = {"server": report.server_certificate_expires, "client": report.client_certificate_expires}
    return ", ".join(f"{whose} {_in_days(end, now)}" for whose, end in ends.items() if end) or None


def _in_days(moment: datetime, now: datetime) -> str:
    return f"{(moment - now).days}d" if moment > now else "expired"


def _sentences(findings: Findings) -> list[str]:
    return [
        *(f"error: {mistake}" for mistake in findings.configuration.mistakes),
        *(f"error: cluster {report.name}: {text}" for report in findings.reports for text in report.problems),
        *(f"warning: cluster {report.name}: {text}" for report in findings.reports for text in report.warnings),
        *(f"note: cluster {report.name}: {text}" for report in findings.reports for text in report.notes),
    ]


def _camel_case(report: dict[str, object]) -> dict[str, object]:
    """JSON names, and times with their zone as Z."""

    def value(content: object) -> object:
        return f"{content.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if isinstance(content, datetime) else content

    return {to_camel(key): value(content) for key, content in report.items()}
