"""From a request to a cluster and back, with every part a real process: what is asked for is done, and seen."""

from typing import Any

from support.pipeline import Pipeline
from support.waiting import until

from summit_simulator.cluster import SimulatedCluster

Clusters = list[SimulatedCluster]


async def ended(pipeline: Pipeline, cluster: SimulatedCluster, location: str) -> dict[str, Any]:
    """The operation when it has ended; meanwhile time passes in the cluster."""

    async def shown() -> dict[str, Any]:
        await cluster.settle()
        answer: dict[str, Any] = (await pipeline.api.get(location)).json()
        return answer

    return await until(shown, lambda operation: operation["endedAt"])


async def test_vm_is_started_and_stopped_by_requests(pipeline: Pipeline, clusters: Clusters) -> None:
    """The answer is 202, and the operation succeeds when the cluster shows it."""
    vulcan = clusters[0]
    vm = vulcan.create_vm("web", namespace="prod")
    await until(pipeline.vms, lambda vms: "web" in vms)
    path = f"/api/v1/vms/{vm['metadata']['uid']}"
    for action, status in (("start", "running"), ("stop", "stopped")):
        would = await pipeline.api.post(f"{path}/{action}?dryRun=true")
        assert would.status_code == 200, would.text
        assert would.json()["state"] == "succeeded", would.text
        asked = await pipeline.api.post(f"{path}/{action}")
        assert asked.status_code == 202, asked.text
        operation = await ended(pipeline, vulcan, asked.headers["Location"])
        assert operation["state"] == "succeeded", operation
        await until(pipeline.vms, lambda vms, status=status: vms["web"]["status"] == status)
        again = await pipeline.api.post(f"{path}/{action}")
        assert again.status_code == 409, again.text
    history = await pipeline.get(f"{path}/events")
    done = [line["state"]["action"] for line in history["items"] if line["type"] == "summit.operation.succeeded"]
    assert done == ["stop", "start"]
