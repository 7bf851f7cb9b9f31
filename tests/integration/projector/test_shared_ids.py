"""A cluster under a new name, and a cluster restored beside the original: watched, projected and rebuilt for real."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.projecting import Readings, projector, projector_settings, publish, publisher
from support.published import migration_event, vm_event
from support.waiting import until
from support.watched import configure, watching

from summit_models.event import VmEventType
from summit_projector.rebuild import rebuild
from summit_runtime.watched_files import FileTimes
from summit_simulator.cluster import simulated_clusters
from summit_watcher.settings import WatcherTimes

LIVING = "SELECT cluster, name FROM vms WHERE deleted_at IS NULL ORDER BY cluster, name"
ROWS = "SELECT id, shown_by, node_name, epoch, revision, deleted_at FROM vms ORDER BY id, shown_by"


async def test_a_cluster_that_is_renamed_keeps_its_vms_and_a_rebuild_agrees(
    nats_url: str, database_url: str, tmp_path: Path
) -> None:
    """Its state was `synced` and it had five known objects and no VM: the tombstones of the old name had won."""
    times = WatcherTimes(files=FileTimes(look_seconds=0.05, settle_seconds=0.05), heartbeat_seconds=0.2)
    readings, settings = Readings(database_url), projector_settings(nats_url, database_url)

    async def living() -> list[tuple[Any, ...]]:
        return [tuple(row.values()) for row in await readings.fetch(LIVING)]

    async def retired() -> list[dict[str, Any]]:
        return await readings.fetch("SELECT FROM clusters WHERE name = 'old' AND state = 'retired'")

    def named(name: str) -> Mapping[str, Path]:
        return {name: kubeconfig}

    async with simulated_clusters("old") as (cluster,), publisher(nats_url) as client, projector(settings):
        for name in ("a", "b", "c"):
            cluster.create_vm(name, namespace="prod")
        kubeconfig = cluster.write_kubeconfig(tmp_path / "kubeconfig")
        config = configure(tmp_path, named("old"))
        for _ in range(3):  # the epoch of the old name is far above the first one of the new name
            async with watching(nats_url, config, times):
                await until(living, lambda rows: rows == [("old", name) for name in "abc"])
        async with watching(nats_url, config, replace(times, silent_seconds=1)):
            configure(tmp_path, named("new"))
            await until(retired)
            await until(living, lambda rows: rows == [("new", name) for name in "abc"])
            cluster.create_vm("d", namespace="prod")
            await until(living, lambda rows: rows == [("new", name) for name in "abcd"])
        assert (await rebuild(client, settings)).found == 0
        assert await living() == [("new", name) for name in "abcd"]


@pytest.mark.parametrize("batch_events", [1, 100])
async def test_two_clusters_with_one_uid_have_a_row_each_after_any_batch_and_rebuild(
    nats_url: str, database_url: str, batch_events: int
) -> None:
    """The greater epoch of the one does not make the other's events stale, and its delete is not the other's."""
    settings = projector_settings(nats_url, database_url, batch_events=batch_events)
    readings = Readings(database_url)
    async with publisher(nats_url) as client, projector(settings):
        last = await publish(
            client,
            *(vm_event(f"c{n}", VmEventType.CREATED, cluster="orig", epoch=9, node_name="site1") for n in range(60)),
            *(vm_event(f"c{n}", VmEventType.CREATED, cluster="clone", epoch=2, node_name="site2") for n in range(60)),
            *(migration_event("m", cluster=cluster, epoch=epoch) for cluster, epoch in (("orig", 9), ("clone", 2))),
            vm_event("c0", VmEventType.DELETED, cluster="clone", epoch=2, versions=(5, 5)),
            vm_event("c1", cluster="orig", epoch=9, versions=(5, 5), node_name="site1-n2"),
            vm_event("c1", cluster="clone", epoch=2, versions=(4, 4), node_name="site2-n2"),
        )
        await readings.applied(last)
        rows = await readings.fetch(ROWS)
        assert len(rows) == 120
        assert [row["shown_by"] for row in rows if row["deleted_at"]] == ["clone"]
        assert {row["node_name"] for row in rows if row["shown_by"] == "orig"} == {"site1", "site1-n2"}
        assert {row["node_name"] for row in rows if row["shown_by"] == "clone"} == {"site2", "site2-n2", None}
        assert len(await readings.fetch("SELECT FROM migrations")) == 2
        assert len(await readings.fetch("SELECT FROM events")) == last
        for table in ("vm_labels", "vm_words"):
            assert len(await readings.fetch(f"SELECT FROM {table}")) == 120
        assert (await rebuild(client, settings)).found == 0
        await readings.fetch("DELETE FROM vms WHERE shown_by = 'clone'")
        assert (await rebuild(client, settings)).found == 60
        assert await readings.fetch(ROWS) == rows
