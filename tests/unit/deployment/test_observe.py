"""config/prometheus and config/grafana keep their rules; `make test-observe` asks a real Prometheus."""

import json
import re
from typing import Any

import pytest
import yaml
from support.paths import ROOT
from support.promql import dashboard_expressions, names, panels, rules

OPERATIONS = (ROOT / "docs/operations.md").read_text()
PROMETHEUS: dict[str, Any] = yaml.safe_load((ROOT / "config/prometheus/prometheus.yml").read_text())
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def _anchors(text: str) -> set[str]:
    """The headings of a page as GitHub links to them."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_each_alert_has_a_severity_and_a_runbook(rule: dict[str, Any]) -> None:
    """Whoever is woken gets a link to what to do, and the heading is there."""
    page, _, heading = rule["annotations"]["runbook_url"].partition("#")
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert page == "docs/operations.md"
    assert heading in _anchors(OPERATIONS)


def test_the_table_of_alerts_has_each_rule() -> None:
    """With its expression, its time and its severity."""
    table = OPERATIONS.partition("### Alerts")[2].partition("\n#")[0]
    rows = {match.groups() for match in re.finditer(r"^\| `(.*?)` \| (\S+|\d+ \w+) \| (\w+) \| ", table, re.MULTILINE)}
    assert rows == {
        (" ".join(rule["expr"].split()), _written(rule.get("for")), rule["labels"]["severity"]) for rule in rules()
    }


def _written(duration: str | None) -> str:
    """`5 min` for 5m, as the table writes it."""
    units = {"m": "min", "h": "h"}
    return f"{duration[:-1]} {units[duration[-1]]}" if duration else "-"


def test_prometheus_finds_the_services_where_they_answer() -> None:
    """By the name of the service, or an alias of several, at the port of its image; each container has an address."""
    aliases = {
        alias: service.get("build", {}).get("target")
        for service in SERVICES.values()
        for alias in (service.get("networks") or {}).get("default", {}).get("aliases", [])
    }
    targets = {name: service.get("build", {}).get("target") for name, service in SERVICES.items()} | aliases
    found = [(name, lookup["port"]) for job in PROMETHEUS["scrape_configs"] for lookup in job["dns_sd_configs"]
             for name in lookup["names"]]  # fmt: skip
    assert {targets[name] for name, _ in found} == {"api", "projector", "watcher"}
    for name, port in found:
        exposed = DOCKERFILE.partition(f"FROM service AS {targets[name]}\n")[2].partition("ENTRYPOINT")[0]
        assert f"EXPOSE {port}\n" in exposed


def test_grafana_asks_the_prometheus_beside_it() -> None:
    """The address is that of the service, and the dashboard is where Grafana looks."""
    provisioning = ROOT / "config/grafana/provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yaml").read_text())["datasources"]
    (provider,) = yaml.safe_load((provisioning / "dashboards/summit-connect.yaml").read_text())["providers"]
    mounts = [volume.split(":")[:2] for volume in SERVICES["grafana"]["volumes"]]
    assert source["url"] == "http://prometheus:9090"
    assert ["./config/grafana/dashboards", provider["options"]["path"]] in mounts


def test_each_panel_of_the_dashboard_explains_itself() -> None:
    """It has a description, lies beside the others, and asks for metrics of ours that exist."""
    places = [tuple(panel["gridPos"].values()) for panel in panels()]
    assert len(set(places)) == len(places)
    assert all(x + width <= 24 for x, _, width, _ in places)
    assert all(panel["description"] and panel["targets"] for panel in panels())


def test_expressions_name_metrics_that_exist() -> None:
    """The table of all metrics in docs/operations.md has them, and another test compares that with the code."""
    table = set(re.findall(r"^\| `(summit_\w+)` \|", OPERATIONS, re.MULTILINE))
    asked = {name for expression in dashboard_expressions() for name in names(expression)}
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked} <= table


def test_the_dashboard_is_one_line_for_each_query() -> None:
    """So that a change of it can be read in a diff."""
    text = (ROOT / "config/grafana/dashboards/summit-connect.json").read_text()
    assert json.loads(text)["uid"] == "summit-connect"
    assert max(map(len, text.splitlines())) < 400
