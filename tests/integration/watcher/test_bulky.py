"""Events that are too large for NATS: a VM that is bulky is shown without what is bulky, and its end is as well."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.oracle import LoggedEvent
from support.projecting import publisher
from support.waiting import until
from support.watched import QUICK, Log, configure, observing, watching

from summit_models.cluster import ConnectionState as State
from summit_runtime.nats.streams.stream import stream_config
from summit_simulator.cluster import SimulatedCluster

VMS = "virtualmachines"
BULKY = {f"label-{number}": "x" * 60 for number in range(15_000)}
"""1.1 MB in JSON."""


WEB = {"metadata": {"namespace": "prod", "name": "web"}}


@pytest.fixture
async def cluster() -> AsyncIterator[SimulatedCluster]:
    async with SimulatedCluster("vulcan") as cluster:
        cluster.create_vm("web", namespace="prod")
        await cluster.settle()
        yield cluster


def verbs(log: Log) -> list[str]:
    return [event.verb for event in vms(log)]


def vms(log: Log) -> list[LoggedEvent]:
    return log.events("vms")


def newest(log: Log) -> dict[str, object]:
    data: dict[str, object] = json.loads(log.newest("web"))["data"]
    return data


async def test_a_vm_with_a_megabyte_of_labels_is_no_ghost(
    cluster: SimulatedCluster, nats_url: str, tmp_path: Path
) -> None:
    """Its changes and its delete reach readers, and a problem says what is missing."""
    config = configure(tmp_path, {"vulcan": cluster.write_kubeconfig(tmp_path / "vulcan")})
    async with observing(nats_url) as (log, _), watching(nats_url, config, QUICK):
        await log.agrees(cluster)
        cluster.patch(VMS, WEB, {"metadata": {"labels": BULKY}})
        await until(lambda: any("labels" in str(one) for one in newest(log)["problems"]))  # type: ignore[attr-defined]
        assert newest(log)["labels"] == {}
        cluster.patch(VMS, WEB, {"metadata": {"labels": None}})
        await log.agrees(cluster)
        cluster.patch(VMS, WEB, {"metadata": {"labels": BULKY}})
        cluster.delete(VMS, WEB)
        await until(lambda: verbs(log)[-1] == "deleted")


async def test_what_nats_has_refused_does_not_count_as_published(
    cluster: SimulatedCluster, nats_url: str, tmp_path: Path
) -> None:
    """Somebody has lowered its limit: the watcher reads back what the log has, and publishes what fits."""
    config = configure(tmp_path, {"vulcan": cluster.write_kubeconfig(tmp_path / "vulcan")})
    labels = {f"label-{number}": "x" * 60 for number in range(200)}
    times = replace(QUICK, checkpoint_seconds=0.1)
    async with (
        publisher(nats_url) as client,
        observing(nats_url) as (log, healths),
        watching(nats_url, config, times),
    ):
        await log.agrees(cluster)
        await client.jetstream().update_stream(replace(stream_config(), max_msg_size=8 * 1024))
        cluster.patch(VMS, WEB, {"metadata": {"labels": labels}})
        await until(lambda: any("labels" in str(one) for one in newest(log)["problems"]))  # type: ignore[attr-defined]
        await until(lambda: healths.state("vulcan") == State.SYNCED)
        cluster.delete(VMS, WEB)
        await until(lambda: verbs(log)[-1] == "deleted")


async def test_two_megabytes_of_version_or_message_blind_no_state_of_a_cluster(nats_url: str, tmp_path: Path) -> None:
    """The state is an event and a heartbeat, which have a largest size as well."""
    huge = "v" * 2_000_000
    async with SimulatedCluster("vulcan") as cluster:
        cluster.create_vm("web", namespace="prod")
        cluster.faults.answer({"gitVersion": huge}, "/version")
        cluster.faults.respond(403, "virtualmachineinstancemigrations", message=huge)
        config = configure(tmp_path, {"vulcan": cluster.write_kubeconfig(tmp_path / "vulcan")})
        async with observing(nats_url) as (log, healths), watching(nats_url, config, QUICK):
            await log.lives(cluster)
            await until(lambda: healths.state("vulcan") == State.DEGRADED and healths.newest["vulcan"].server_version)
        shown = healths.newest["vulcan"]
        assert len(shown.model_dump_json()) < 10_000
        assert "virtualmachineinstancemigrations" in (shown.reason or "")
        states = [json.loads(m.body)["data"]["state"] for m in log.messages if ".clusters." in m.subject]
        assert State.DEGRADED in states
