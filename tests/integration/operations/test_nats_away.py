"""NATS is away at any step of an operation: nothing is asked twice, and its end is stored when NATS is back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import product
from pathlib import Path
from typing import Literal

import pytest
from support.nats_server import nats_server
from support.operating import TIMES, Operating
from support.projecting import publisher
from support.tcp_proxy import Proxy, tcp_proxy
from support.virtctl import Virtctl
from support.waiting import until
from support.watched import observing, watching

from summit_models.operation import OperationState as S
from summit_simulator import SimulatedCluster

Lost = Literal["it", "answer"]
LOST: tuple[Lost, ...] = ("it", "answer")


@pytest.fixture
async def proxy(nats_url: str) -> AsyncIterator[Proxy]:
    """Between the watcher and NATS. It breaks the connection at a step of an operation."""
    async with tcp_proxy(nats_url) as proxy:
        proxy.marker = b"ingest.summit.operations."
        yield proxy


@pytest.mark.parametrize("case", list(product(["start", "restart"], LOST)), ids="-".join)
async def test_the_claim_is_lost_or_its_answer(
    proxy: Proxy, config: Path, operating: Operating, virtctl: Virtctl, case: tuple[str, Lost]
) -> None:
    """The watcher does not take its own claim for another's, and asks after it is stored."""
    action, lost = case
    await virtctl.create("Halted" if action == "start" else "Always")
    async with watching(proxy.url, config, TIMES):
        await until(lambda: operating.log.newest("web"))
        proxy.lose = lost
        id_ = await operating.ask(action)
        end = await operating.end(id_)
    assert (end.state, operating.effects(action), proxy.lost) == (S.SUCCEEDED, 1, 1)
    assert len({step.executor for step in operating.steps(id_)} - {None}) == 1


@pytest.mark.parametrize("case", list(product(["migrate", "reset"], LOST)), ids="-".join)
async def test_the_step_after_the_answer_of_the_cluster_is_lost_or_its_answer(
    proxy: Proxy, config: Path, operating: Operating, virtctl: Virtctl, case: tuple[str, Lost]
) -> None:
    """The watcher remembers that the cluster has accepted it."""
    action, lost = case
    await virtctl.create("Always")
    mishap = virtctl.cluster.faults.acts.hold(action)
    async with watching(proxy.url, config, TIMES):
        id_ = await operating.ask(action)
        await until(lambda: mishap.met)
        proxy.lose = lost
        virtctl.cluster.faults.acts.end(mishap)
        end = await operating.end(id_)
    assert (end.state, operating.effects(action), proxy.lost) == (S.SUCCEEDED, 1, 1)


async def test_vm_that_has_taken_the_name_while_nats_was_away_is_not_acted_on(
    proxy: Proxy, config: Path, operating: Operating, virtctl: Virtctl
) -> None:
    """The VM was looked at, and then the step was waited for without which the request must not go out."""
    cluster, vm = virtctl.cluster, await virtctl.create("Always")
    async with watching(proxy.url, config, TIMES):
        await until(lambda: operating.log.newest("web"))
        cluster.faults.withhold("namespaces/prod/virtualmachines/web")
        id_ = await operating.ask("stop")
        claimed = await operating.reaches(id_, "running")
        await until(lambda: (operating.client.clock.now() - claimed.started_at).total_seconds() > TIMES.claim_seconds)
        proxy.holds = True
        await cluster.faults.clear()
        await proxy.held.wait()
        cluster.delete("virtualmachines", vm)
        await until(lambda: not virtctl.vm)
        await virtctl.create("Always")
        await asyncio.sleep(TIMES.claim_seconds)
        proxy.release.set()
        end = await operating.end(id_)
    assert (end.state, end.message, operating.effects("stop")) == (S.FAILED, "another VM has the name web now", 0)


@pytest.mark.parametrize("lost", LOST)
async def test_the_end_is_lost_or_its_answer(
    proxy: Proxy, config: Path, operating: Operating, virtctl: Virtctl, lost: Lost
) -> None:
    """It is stored once."""
    await virtctl.create()
    virtctl.cluster.stop_controllers()
    async with watching(proxy.url, config, TIMES):
        id_ = await operating.ask("start")
        await until(lambda: operating.steps(id_), lambda steps: steps and steps[-1].progress)
        proxy.lose = lost
        virtctl.cluster.start_controllers()
        end = await operating.end(id_)
        assert (await operating.end(await operating.ask("pause"))).state == S.SUCCEEDED
    assert (end.state, operating.effects("start"), proxy.lost) == (S.SUCCEEDED, 1, 1)
    assert sum(step.has_ended for step in operating.steps(id_)) == 1


async def test_nats_restarts_while_the_cluster_is_asked(
    tmp_path: Path, config: Path, cluster: SimulatedCluster, virtctl: Virtctl, caplog: pytest.LogCaptureFixture
) -> None:
    """The log is on disk, and the operations go on. There was a line for each of them: a thousand hid the outage."""
    cluster.create_vm("db", namespace="prod", run_strategy="Always")
    await virtctl.create("Always")
    mishap = cluster.faults.acts.hold("restart")
    first, second = AsyncExitStack(), AsyncExitStack()
    async with second, first:
        address, _ = await first.enter_async_context(nats_server(tmp_path / "log"))
        url = f"nats://{address}"
        async with publisher(url) as client, observing(url) as (log, healths), watching(url, config, TIMES):
            operating = Operating(client, log, healths, cluster)
            ids = [await operating.ask("restart", name=name) for name in ("web", "db")]
            await until(lambda: mishap.met == len(ids))
            await first.aclose()
            cluster.faults.acts.end(mishap)
            await second.enter_async_context(nats_server(tmp_path / "log"))
            assert [(await operating.end(id_)).state for id_ in ids] == [S.SUCCEEDED] * 2
    assert operating.effects("restart") == 1
    lines = [line for line in caplog.messages if line.startswith("the steps of operations in cluster vulcan are ")]
    assert len(lines) == 2, lines
