"""An operation on many VMs from the request to the clusters, with every part a real process that may be killed."""

import signal
from typing import Any

import pytest
from support.pipeline import Pipeline
from support.waiting import until

from summit_simulator.cluster import SimulatedCluster
from summit_standalone.embedded.server_process import free_port

Clusters = list[SimulatedCluster]
NAMES = [f"vm-{n}" for n in range(8)]


async def shown(pipeline: Pipeline, clusters: Clusters, location: str) -> dict[str, Any]:
    """The bulk operation; meanwhile time passes in the clusters."""
    for cluster in clusters:
        await cluster.settle()
    answer: dict[str, Any] = (await pipeline.api.get(location)).json()
    return answer


async def begin(pipeline: Pipeline, query: str, **body: Any) -> str:
    path = f"/api/v1/operations:bulk?{query}"
    plan = (await pipeline.api.post(path, json=body)).json()
    answer = await pipeline.api.post(path, json=body | {"confirm": plan["confirm"]})
    assert answer.status_code == 202, answer.text
    return answer.headers["Location"]


@pytest.mark.slow
@pytest.mark.parametrize("successor", ["the same", "another"])
async def test_api_is_killed_in_the_middle(pipeline: Pipeline, clusters: Clusters, successor: str) -> None:
    """The same one, restarted, or another that runs beside it goes on, and each VM is started once."""
    vms = [(cluster, cluster.create_vm(name, namespace="prod")) for cluster in clusters for name in NAMES]
    await until(lambda: pipeline.get("/api/v1/vms?status=stopped"), lambda page: len(page["items"]) == len(vms))
    location = await begin(pipeline, "status=stopped", action="start", maxParallelPerCluster=2)
    if successor == "another":
        first = pipeline.processes.pop("api")
        port = pipeline.environment["API_PORT"]
        pipeline.environment["API_PORT"] = str(free_port())
        await pipeline.start("api")
        pipeline.environment["API_PORT"] = port
        pipeline.processes |= {"second": pipeline.processes["api"], "api": first}
    await until(lambda: shown(pipeline, clusters, location), lambda bulk: bulk["counts"]["succeeded"] >= 4)
    await pipeline.stop("api", signal.SIGKILL)
    if successor == "another":
        await until(lambda: started(clusters), lambda count: count == len(vms))
    await pipeline.start("api")
    bulk = await until(lambda: shown(pipeline, clusters, location), lambda bulk: bulk["endedAt"])
    assert (bulk["state"], bulk["counts"]["succeeded"]) == ("succeeded", len(vms)), bulk
    assert [len(cluster.acts_on(vm, "start")) for cluster, vm in vms] == [1] * len(vms)


async def started(clusters: Clusters) -> int:
    """How many VMs were started; meanwhile time passes."""
    for cluster in clusters:
        await cluster.settle()
    return sum(act.action == "start" for cluster in clusters for act in cluster.acts)
