"""`summit-connect serve backend` on clusters, stopped and started again: what was served is kept."""

import asyncio
from pathlib import Path
from typing import Any

import httpx2
from support.pipeline import write_config
from support.standalone_command import Standalone, running
from support.waiting import until

from summit_simulator.cluster import SimulatedCluster

Vms = dict[str, dict[str, Any]]


async def test_what_was_served_before_sigterm_is_served_without_watching(tmp_path: Path) -> None:
    """Each VM as it was, the one that changed just before the end with the revision of that change."""
    async with SimulatedCluster("vulcan") as vulcan:
        for name in ("web", "mail", "dns"):
            vulcan.create_vm(name, namespace="prod")
        await vulcan.settle()
        config = write_config(tmp_path, [vulcan])
        with running(tmp_path / "data", "serve", "backend", "-w", "-c", config) as watching:
            before = await until(
                lambda: _vms(watching), lambda vms: len(vms) == 3 and all(vm["disk"] for vm in vms.values())
            )
            size = {"spec": {"template": {"spec": {"domain": {"cpu": {"cores": 4, "sockets": 1, "threads": 1}}}}}}
            vulcan.patch("virtualmachines", {"metadata": {"namespace": "prod", "name": "web"}}, size)
            changed = await until(lambda: _vms(watching), lambda vms: vms["web"]["cpu"] == 4)
            assert await asyncio.to_thread(watching.stop) == 0
    assert changed["web"]["revision"] > before["web"]["revision"]
    with running(tmp_path / "data", "serve", "backend") as serving:
        kept = await until(lambda: _vms(serving), lambda vms: len(vms) == 3)
        assert "watcher" not in serving.children()
        assert kept == changed
        assert await asyncio.to_thread(serving.stop) == 0


async def _vms(standalone: Standalone) -> Vms:
    """The listed VMs by name, without what time alone changes."""
    async with httpx2.AsyncClient(base_url=standalone.api) as client:
        answer = await client.get("/api/v1/vms")
    answer.raise_for_status()
    return {vm["name"]: {key: vm[key] for key in vm.keys() - {"age", "stale"}} for vm in answer.json()["items"]}
