"""Several apis drive one operation on many VMs: each VM is acted on once, whichever is slow, cut off or gone."""

from collections import Counter

import pytest
from support.bulk import ROMULUS, VULCAN, Many, beside, many, vms
from support.driving import driving
from support.editing import UPPSALA
from support.tcp_proxy import Proxy, tcp_proxy

from summit_models.operation import OperationState
from summit_models.vm import VmStatus

STOPPED = {"status": VmStatus.STOPPED}
_APPEND = b"ingest.summit.operations"
"""A driver that appends operations."""


def begun(api: Many) -> Counter[str]:
    """How often each VM was acted on, or left out."""
    return Counter(f"{step.cluster}/{step.vm_name}" for step in api.seen if step.started_at is None)


async def test_two_apis_act_on_each_vm_once(nats_url: str, database_url: str) -> None:
    """They do the same at the same time, and the limits hold all the same."""
    async with many(nats_url, database_url, apis=3) as api:
        names = [f"vm-{n}" for n in range(15)]
        await api.publish(*vms(*names, **STOPPED), *vms(*names, cluster=ROMULUS, **STOPPED))
        parent = await api.begin("status=stopped", action="start", maxParallelPerCluster=2)
        shown = await api.play(parent)
        assert (shown["state"], shown["counts"]["succeeded"]) == ("succeeded", 30)
        assert set(begun(api).values()) == {1}
        assert len(begun(api)) == 30
        assert api.most_at_once(lambda step: step.cluster) == {VULCAN: 2, ROMULUS: 2}
        steps = (await api.ask("GET", f"/bulk-operations/{parent}/events")).json()["items"]
        assert len(steps) == 2


async def test_api_that_dies_is_replaced(nats_url: str, database_url: str) -> None:
    """What it had begun goes on, and the next api continues where the log is."""
    async with many(nats_url, database_url, driven=False) as api:
        await api.publish(*vms(*(f"vm-{n}" for n in range(9)), **STOPPED))
        parent = await api.begin("status=stopped", action="start", maxParallelPerCluster=2)
        for succeeded in (0, 2, 4):
            async with beside(api, nats_url, database_url):
                await api.counts(parent, pending=2, succeeded=succeeded)
            await api.done(api.under_way())
        assert (await api.counts(parent, succeeded=6))["waiting"] == 3
        async with driving(api.services, api.client):
            assert (await api.play(parent))["counts"]["succeeded"] == 9
        assert set(begun(api).values()) == {1}


async def test_api_that_wakes_up_after_a_cancellation_begins_nothing(nats_url: str, database_url: str) -> None:
    """It had read and decided, and was stopped before it could append; meanwhile everything was canceled."""
    async with many(nats_url, database_url, driven=False) as api, tcp_proxy(nats_url) as proxy:
        await api.publish(*vms("a", "b", **STOPPED))
        proxy.marker, proxy.holds = _APPEND, True
        parent = await api.begin("status=stopped", action="start")
        async with beside(api, proxy.url, database_url) as slow:
            await proxy.held.wait()
            assert (await api.ask("DELETE", f"/bulk-operations/{parent}")).status_code == 202
            async with driving(api.services, api.client):
                shown = await api.reaches(parent, "canceled")
            proxy.release.set()
            await slow.flush()
        assert shown["counts"]["canceled"] == 2
        assert [step.state for step in api.seen] == [OperationState.CANCELED] * 2
        assert sorted(await api.steps()) == ["canceled", "canceled"]


@pytest.mark.parametrize("lost", ["it", "answer"])
async def test_lost_append_is_neither_lost_nor_repeated(nats_url: str, database_url: str, lost: str) -> None:
    """The connection breaks with a batch of operations on its way: it is stored once, then or later."""
    async with many(nats_url, database_url, driven=False) as api, tcp_proxy(nats_url) as proxy:
        await api.publish(*vms(*"abcd", **STOPPED))
        parent = await api.begin("status=stopped", action="start", maxParallelPerCluster=2)
        lose(proxy, lost)
        async with beside(api, proxy.url, database_url):
            shown = await api.play(parent)
        assert proxy.lost == 1
        assert shown["counts"]["succeeded"] == 4
        assert begun(api) == {f"vulcan/{name}": 1 for name in "abcd"}


async def test_turns_go_on_in_a_cluster_that_is_declared_in_another_datacenter_by_then(
    nats_url: str, database_url: str
) -> None:
    """Each further VM had an operation in the former datacenter, where no watcher began it: all of them expired."""
    async with many(nats_url, database_url, driven=False) as api:
        await api.publish(*vms("a", "b", **STOPPED))
        parent = await api.begin("status=stopped", action="start", maxParallelPerCluster=1)
        await api.driver_steps()
        await api.publish(*vms("a", "b", **STOPPED, datacenter=UPPSALA, epoch=5, versions=(2, 0)))
        await api.done(api.under_way())
        await api.counts(parent, succeeded=1)
        await api.driver_steps()
        assert [(step.vm_name, step.datacenter) for step in api.under_way()] == [("b", UPPSALA)]


def lose(proxy: Proxy, what: str) -> None:
    proxy.marker, proxy.lose = _APPEND, what  # type: ignore[assignment]
