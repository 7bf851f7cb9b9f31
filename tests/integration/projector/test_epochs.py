"""Events of an epoch that no watcher has begun, or of an impossible one: one of them froze a VM for ever."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from nats.aio.client import Client
from support.projecting import Readings, projector, projector_settings, publish, publisher, put
from support.published import cluster_event, vm_event
from support.waiting import until
from support.watched import DATACENTER, Log, configure, observing, watching

from summit_models.cluster import ConnectionState
from summit_projector.rebuild import rebuild
from summit_runtime.nats.streams.stream import stream_config, stream_state
from summit_simulator.cluster import simulated_clusters
from summit_watcher.settings import WatcherTimes

VMS = "SELECT name, status, deleted_at IS NULL AS lives FROM vms ORDER BY name"
DEAD_LETTERS = "SELECT reason FROM dead_letters ORDER BY revision"


async def forge(client: Client, body: bytes, subject: str, **members: Any) -> None:
    """Publish an event of the log once more, with other members."""
    event = json.loads(body)
    data = event["data"] | members.pop("data", {})
    document = json.dumps(event | members | {"id": f"forged/{members}", "data": data})
    await put(client, subject, document.encode())


async def newest(client: Client, subject: str) -> bytes:
    return (await client.jetstream().get_last_msg("SUMMIT", subject)).data or b""


def last_status(log: Log, name: str) -> str:
    return str(json.loads(log.newest(name))["data"]["status"])


async def test_forged_epochs_freeze_nothing_and_the_watcher_repairs_what_is_shown(
    nats_url: str, database_url: str, tmp_path: Path
) -> None:
    """They become dead letters. The next watcher publishes the true states after them, and a rebuild finds the same."""
    readings, settings = Readings(database_url), projector_settings(nats_url, database_url)
    vm, own = f"summit.vms.{DATACENTER}.vulcan.prod.erp", f"summit.clusters.{DATACENTER}.vulcan"
    times = WatcherTimes(heartbeat_seconds=0.2)

    async def shown() -> list[tuple[Any, ...]]:
        return [tuple(row.values()) for row in await readings.fetch(VMS)]

    async def healthy() -> list[dict[str, Any]]:
        return await readings.fetch("SELECT FROM clusters WHERE state = 'synced' AND epoch < 9")

    async with (
        simulated_clusters("vulcan") as (cluster,),
        publisher(nats_url) as client,
        projector(settings),
        observing(nats_url) as (log, _),
    ):
        erp = cluster.create_vm("erp", namespace="prod")
        await cluster.settle()
        config = configure(tmp_path, {"vulcan": cluster.write_kubeconfig(tmp_path / "kubeconfig")})
        async with watching(nats_url, config, times):
            await until(shown, lambda rows: rows == [("erp", "stopped", True)])
            await until(healthy)
            for epoch in (2, 2**62):
                await forge(client, await newest(client, vm), vm, epoch=epoch, data={"status": "error"})
            state = {"state": ConnectionState.FORBIDDEN}
            await forge(client, await newest(client, own), own, epoch=2**63 - 1, began=1, data=state)
            await until(lambda: readings.fetch(DEAD_LETTERS), lambda letters: len(letters) == 3)
            assert await shown() == [("erp", "stopped", True)]
            assert last_status(log, "erp") == "error"
            cluster.create_vm("crm", namespace="prod")
            await cluster.settle()
            await until(shown, lambda rows: rows == [("crm", "stopped", True), ("erp", "stopped", True)])
            await until(lambda: newest(client, own), lambda body: json.loads(body)["epoch"] == 1)
        async with watching(nats_url, config, times):
            await until(lambda: last_status(log, "erp") == "stopped")
            await cluster.start(erp)
            await until(shown, lambda rows: rows[1] == ("erp", "running", True))
            await until(healthy)
        reasons = [letter["reason"] for letter in await readings.fetch(DEAD_LETTERS)]
        assert [reason.partition(", whose")[0] for reason in reasons] == [
            "no watcher has begun its epoch 2 in the log",
            f"its epoch {2**62} cannot be right: the log has fewer events than that",
            f"its epoch {2**63 - 1} cannot be right: the log has fewer events than that",
        ]
        assert (await rebuild(client, settings)).found == 0


async def test_a_rebuild_knows_the_epochs_whose_beginning_has_aged_out(nats_url: str, database_url: str) -> None:
    """The newest event of a cluster has its epoch, and its watcher repeats it, so that the log always has one."""
    readings, settings = Readings(database_url), projector_settings(nats_url, database_url)
    async with publisher(nats_url) as client, projector(settings):
        vm, forged = vm_event("a", epoch=3), vm_event("a", epoch=4, versions=(9, 9), cpu=99)
        last = await publish(client, cluster_event(epoch=3), vm, forged, vm_event("b", epoch=3), cluster_event(epoch=3))
        await readings.applied(last)
        await client.jetstream().update_stream(replace(stream_config(), max_msgs=last - 1))
        assert (await stream_state(client)).first_sequence == 2
        assert (await rebuild(client, settings)).found == 0
    assert [row["cpu"] for row in await readings.fetch("SELECT cpu FROM vms ORDER BY name")] == [None, None]
