"""Dashboard and alerts asked of a real Prometheus that scrapes a running demo. `make test-observe` runs it.

Needs `prometheus` and `promtool`, which Debian's package prometheus has.
"""

import asyncio
import math
import os
import re
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from support.paths import ROOT
from support.promql import ALERTS, dashboard_expressions, rules, selectors
from support.standalone_command import Standalone, running
from support.waiting import until

from summit_api.access.tokens import new_token
from summit_standalone.embedded.server_process import free_port

pytestmark = pytest.mark.observe

CONFIG = ROOT / "config/prometheus/prometheus.yml"
OPERATIONS = (ROOT / "docs/operations.md").read_text()
SECOND = {"scrape_interval": "1s", "scrape_timeout": "1s"}


class Observed:
    """A demo, and the Prometheus that scrapes it each second."""

    def __init__(self, demo: Standalone, prometheus: httpx2.AsyncClient, api: httpx2.AsyncClient) -> None:
        self.demo = demo
        self.prometheus = prometheus
        self.api = api

    async def ask(self, path: str, **parameters: str) -> Any:
        """What Prometheus answers; it says why where it refuses."""
        answer = (await self.prometheus.get(f"/api/v1{path}", params=parameters)).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    async def values(self, expression: str) -> list[float]:
        """The present value of each series of an expression, without those that are no number yet."""
        result = (await self.ask("/query", query=expression))["result"]
        return [value for series in result if math.isfinite(value := float(series["value"][1]))]

    async def firing(self, alert: str) -> bool:
        alerts = (await self.ask("/alerts"))["alerts"]
        return any(a["labels"]["alertname"] == alert and a["state"] == "firing" for a in alerts)

    async def restart_a_vm(self) -> None:
        """One operation from its request to its end, so that there is something to show."""
        page = (await self.api.get("/api/v1/vms", params={"status": "running", "limit": 1})).json()
        asked = await self.api.post(f"/api/v1/vms/{page['items'][0]['id']}/restart", json={})
        assert asked.status_code == 202, asked.text
        where = asked.headers["Location"]

        async def state() -> str:
            return str((await self.api.get(where)).json()["state"])

        await until(state, lambda now: now == "succeeded")


def _config(directory: Path, ports: Mapping[str, int], token: str) -> Path:
    """The configuration of the repository, with addresses of this machine in place of DNS, and the job of the docs.

    Rules fire at once: how long they wait is Prometheus' work, and the table of alerts has it.
    """
    config = yaml.safe_load(CONFIG.read_text())
    (inventory,) = yaml.safe_load(re.findall(r"```yaml\n(  - job_name: inventory\n.*?)```", OPERATIONS, re.DOTALL)[0])
    inventory["authorization"]["credentials_file"] = str(directory / "token")
    (directory / "token").write_text(token)
    for job in config["scrape_configs"]:
        assert job.pop("dns_sd_configs")
        job["static_configs"] = [{"targets": [f"127.0.0.1:{ports[job['job_name']]}"]}]
    inventory["static_configs"] = [{"targets": [f"127.0.0.1:{ports['api']}"]}]
    config["scrape_configs"].append(inventory | SECOND)
    config["global"] = SECOND | {"evaluation_interval": "1s"}
    groups = yaml.safe_load(ALERTS.read_text())
    for rule in groups["groups"][0]["rules"]:
        rule.pop("for", None)
    (directory / "alerts.yaml").write_text(yaml.safe_dump(groups))
    (directory / "prometheus.yml").write_text(yaml.safe_dump(config))
    return directory / "prometheus.yml"


@pytest.fixture(scope="module")
async def observed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Observed]:
    directory, token = tmp_path_factory.mktemp("observe"), new_token()
    ports = {name: free_port() for name in ("watcher", "projector")}
    environment = {
        **{f"{name.upper()}_PROBE_PORT": str(port) for name, port in ports.items()},
        "API_ANONYMOUS_ROLE": "none",
        "API_ADMIN_TOKEN": token,
        "API_INVENTORY_SERIES": "1000",
    }
    with running(directory / "demo", "demo", variables=environment) as demo:
        await until(lambda: "Ctrl-C stops everything" in demo.log.read_text())
        port = int(demo.api.rpartition(":")[2])
        config, listen = _config(directory, {**ports, "api": port}, token), f"127.0.0.1:{free_port()}"
        with (directory / "prometheus.log").open("wb") as log:
            prometheus = await asyncio.create_subprocess_exec(
                *("prometheus", f"--config.file={config}", f"--storage.tsdb.path={directory}/tsdb"),
                f"--web.listen-address={listen}",
                stdout=log,
                stderr=log,
            )
        try:
            async with (
                httpx2.AsyncClient(base_url=f"http://{listen}", timeout=10) as client,
                httpx2.AsyncClient(base_url=demo.api, headers={"Authorization": f"Bearer {token}"}, timeout=10) as api,
            ):
                await until(lambda: client.get("/-/ready"), lambda answer: answer.status_code == 200)
                seen = Observed(demo, client, api)
                await until(lambda: seen.values("sum(up)"), lambda up: up == [4.0])
                yield seen
        finally:
            prometheus.kill()
            await prometheus.wait()


def test_promtool_accepts_configuration_and_rules() -> None:
    """As they are in the repository, with DNS and the times of the rules."""
    assert shutil.which("promtool"), "promtool is missing: sudo apt install prometheus"
    checked = subprocess.run(["promtool", "check", "config", CONFIG], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(rules())} rules found" in checked.stdout


async def test_each_expression_of_the_dashboard_returns_numbers(observed: Observed) -> None:
    """Nothing on the dashboard stays empty once something has happened."""
    await observed.restart_a_vm()
    for expression in dashboard_expressions():
        await until(lambda: observed.values(expression), bool, shown=lambda: expression)  # noqa: B023  awaited here


async def test_each_alert_reads_series_that_exist(observed: Observed) -> None:
    """An alert on a label or a name that nothing has never fires, and is a correct expression all the same."""
    for rule in rules():
        for selector in selectors(rule["expr"]):
            assert await observed.ask("/series", **{"match[]": selector}), (rule["alert"], selector)
    loaded = (await observed.ask("/rules"))["groups"][0]["rules"]
    assert {rule["health"] for rule in loaded} == {"ok"}


async def test_metrics_follow_the_naming_of_prometheus(observed: Observed) -> None:
    """`promtool check metrics` takes what each service shows, and the inventory."""
    targets = (await observed.ask("/targets"))["activeTargets"]
    for target in targets:
        text = (await observed.api.get(target["scrapeUrl"])).text
        checking = await asyncio.create_subprocess_exec(
            *("promtool", "check", "metrics"), stdin=subprocess.PIPE, stderr=subprocess.PIPE
        )
        _, complaints = await checking.communicate(text.encode())
        assert [line for line in complaints.decode().splitlines() if "summit_" in line] == [], target["scrapeUrl"]


async def test_an_unreachable_cluster_fires(observed: Observed) -> None:
    """Its kubeconfig leads to a port where nobody listens, and back."""
    kubeconfig = observed.demo.data_dir / "kubeconfigs/betazed.kubeconfig"
    before = kubeconfig.read_text()
    kubeconfig.write_text(re.sub(r"(server: https://127\.0\.0\.1):\d+", rf"\1:{free_port()}", before))
    try:
        await until(lambda: observed.firing("SummitClusterNotSynced"))
        assert await observed.values('summit_cluster_synced{cluster="betazed"}') == [0.0]
        assert await observed.values('sum(summit_cluster_synced{cluster!="betazed"})') == [3.0]
    finally:
        kubeconfig.write_text(before)
    await until(lambda: observed.firing("SummitClusterNotSynced"), lambda firing: not firing, seconds=90)


async def test_a_watcher_that_does_not_answer_fires(observed: Observed) -> None:
    """One that is frozen has no metrics, so an alert on one of them would not fire."""
    pid = observed.demo.pids()["watcher"]
    assert not await observed.firing("SummitNoWatcher")
    os.kill(pid, signal.SIGSTOP)
    try:
        await until(lambda: observed.firing("SummitNoWatcher"))
    finally:
        os.kill(pid, signal.SIGCONT)
    await until(lambda: observed.firing("SummitNoWatcher"), lambda firing: not firing)
