"""From a cluster to the API, with every part a real process."""

import asyncio
import json
import signal
from importlib.metadata import version
from typing import Any

import nats
from support.pipeline import Pipeline
from support.waiting import until

from summit_simulator.cluster import SimulatedCluster

Clusters = list[SimulatedCluster]


async def test_vms_of_all_clusters_are_served_with_their_values(pipeline: Pipeline, clusters: Clusters) -> None:
    """A running VM, a stopped one of the same name elsewhere, and one whose memory cannot be read."""
    vulcan, romulus = clusters
    running = vulcan.create_vm("web", namespace="prod", cores=2, memory="4Gi", disks=("20Gi", "10Gi"))
    romulus.create_vm("web", namespace="prod", cores=8, memory="8Gi")
    vulcan.create_vm("odd", namespace="test", memory="much")
    await romulus.settle()
    await vulcan.start(running)
    instance = vulcan.vmi(running)
    assert instance is not None

    async def both() -> list[dict[str, Any]]:
        return (await pipeline.get("/api/v1/vms?namespace=prod"))["items"]

    items = await until(
        both,
        lambda items: sorted(i["status"] for i in items) == ["running", "stopped"] and all(i["disk"] for i in items),
    )
    one, other = sorted(items, key=lambda item: item["status"])
    assert (one["cluster"], one["datacenter"], one["id"]) == ("vulcan", "dc-solna", running["metadata"]["uid"])
    assert (one["cpu"], one["memory"], one["disk"]) == (2, 4096, 30)
    assert one["nodeName"] == instance["status"]["nodeName"]
    assert one["ip"] == instance["status"]["interfaces"][0]["ipAddress"]
    assert (other["cluster"], other["cpu"], other["memory"], other["nodeName"]) == ("romulus", 8, 8192, None)
    (odd,) = (await pipeline.get("/api/v1/vms?namespace=test"))["items"]
    assert (odd["memory"], odd["problems"]) == (None, ["memory: quantity 'much' is invalid"])
    status = await pipeline.get("/api/v1/status")
    assert (status["datacenters"], status["total_vms"], status["running_vms"], status["stopped_vms"]) == (2, 3, 1, 2)
    (watcher,) = (await pipeline.get("/api/v1/watchers"))["items"]
    assert (watcher["clusters"], watcher["version"]) == (["romulus", "vulcan"], version("summit-connect"))
    shown = await _clusters(pipeline)
    assert [(item["watcher"], item["watchedSince"] > watcher["since"]) for item in shown] == [(watcher["id"], True)] * 2


async def test_creates_changes_and_deletes_are_followed(pipeline: Pipeline, clusters: Clusters) -> None:
    """The API shows each of them as it happens."""
    vulcan = clusters[0]
    vm = vulcan.create_vm("web", namespace="prod")
    await until(pipeline.vms, lambda vms: "web" in vms)
    await vulcan.start(vm)
    await until(pipeline.vms, lambda vms: vms["web"]["status"] == "running")
    await vulcan.pause(vm)
    await until(pipeline.vms, lambda vms: vms["web"]["status"] == "paused")
    vulcan.delete("virtualmachines", vm)
    await vulcan.settle()
    await until(pipeline.vms, lambda vms: vms == {})
    answer = await pipeline.api.get(f"/api/v1/vms/{vm['metadata']['uid']}")
    assert answer.status_code == 404


async def test_a_migration_takes_its_course(pipeline: Pipeline, clusters: Clusters) -> None:
    """The API shows its phase, its nodes and its end, and afterwards the VM on another node."""
    vulcan = clusters[0]
    vm = vulcan.create_vm("web", namespace="prod")
    await vulcan.start(vm)
    before = (await until(pipeline.vms, lambda vms: bool(vms.get("web", {}).get("nodeName"))))["web"]["nodeName"]
    await vulcan.migrate(vm)

    async def migrations() -> list[dict[str, Any]]:
        return list(await pipeline.get("/api/v1/migrations"))

    # KubeVirt sets Succeeded first and copies the nodes afterwards.
    (migration,) = await until(
        migrations, lambda found: bool(found) and found[0]["completed"] and found[0]["targetNode"]
    )
    assert (migration["phase"], migration["vmName"], migration["sourceNode"]) == ("Succeeded", "web", before)
    after = await until(pipeline.vms, lambda vms: vms["web"]["nodeName"] == migration["targetNode"])
    assert after["web"]["nodeName"] != before
    assert after["web"]["_lastMigratedAt"]


async def test_an_unreachable_cluster_disturbs_no_other(pipeline: Pipeline, clusters: Clusters) -> None:
    """Its VMs stay, the API shows the reason, and it recovers by itself."""
    vulcan, romulus = clusters
    vulcan.create_vm("kept", namespace="prod")
    await until(pipeline.vms, lambda vms: "kept" in vms)
    vulcan.faults.refuse_connections()
    romulus.create_vm("new", namespace="prod")
    await until(pipeline.vms, lambda vms: {"kept", "new"} <= vms.keys())

    async def states() -> dict[str, Any]:
        return {c["name"]: c for c in await _clusters(pipeline)}

    found = await until(states, lambda states: states["vulcan"]["state"] == "unreachable")
    assert found["romulus"]["state"] == "synced"
    assert found["vulcan"]["reason"]
    vulcan.create_vm("meanwhile", namespace="prod")
    await vulcan.faults.accept_connections()
    await until(pipeline.vms, lambda vms: "meanwhile" in vms)


async def test_the_feed_carries_each_change_once(pipeline: Pipeline, clusters: Clusters, nats_url: str) -> None:
    """A plain subscriber of one datacenter gets the events of its VMs and no others."""
    vulcan, romulus = clusters
    feed = await nats.connect(nats_url)
    subscription = await feed.subscribe("summit.vms.dc-solna.>")
    await feed.flush()
    romulus.create_vm("elsewhere", namespace="prod")
    vulcan.create_vm("here", namespace="prod")
    message = await subscription.next_msg(timeout=20)
    assert message.subject == "summit.vms.dc-solna.vulcan.prod.here"
    event = json.loads(message.data)
    assert (event["type"], event["data"]["name"]) == ("summit.vm.created", "here")
    await feed.close()


async def test_every_service_stops_in_order_on_sigterm(pipeline: Pipeline, clusters: Clusters) -> None:
    """The exit codes are 0 within seconds, also with an open connection."""
    clusters[0].create_vm("web", namespace="prod")
    await until(pipeline.vms, lambda vms: "web" in vms)
    async with asyncio.timeout(10):
        assert [await pipeline.stop(name) for name in ("watcher", "api", "projector")] == [0, 0, 0]


async def _clusters(pipeline: Pipeline) -> list[dict[str, Any]]:
    answer = await pipeline.get("/api/v1/clusters")
    return list(answer["items"] if isinstance(answer, dict) else answer)


async def test_what_was_edited_by_hand_outlives_a_start(pipeline: Pipeline, clusters: Clusters) -> None:
    """A starting watcher declares its datacenters and lists its clusters, reverts no edit and touches no VM."""
    declared = "/api/v1/admin/datacenters/dc-solna"

    async def datacenters() -> dict[str, str]:
        return {dc["id"]: dc["name"] for dc in (await pipeline.get("/api/v1/datacenters"))["datacenters"]}

    clusters[0].create_vm("resident", namespace="prod")
    before = (await until(pipeline.vms, lambda vms: "resident" in vms))["resident"]
    edited = await until(
        lambda: pipeline.api.patch(declared, json={"name": "Solna North"}), lambda answer: answer.status_code == 200
    )
    assert edited.json()["name"] == "Solna North"
    added = await pipeline.api.post(f"{declared}/vms", json={"id": "vm-001", "name": "by-hand", "cluster": "vulcan"})
    assert added.status_code == 200, added.text
    await pipeline.stop("watcher", signal.SIGKILL)
    await pipeline.start("watcher")
    clusters[0].create_vm("web", namespace="prod")
    vms = await until(pipeline.vms, lambda vms: "web" in vms)
    assert vms.keys() == {"web", "by-hand", "resident"}
    assert vms["resident"]["revision"] == before["revision"]
    assert (await datacenters())["dc-solna"] == "Solna North"
