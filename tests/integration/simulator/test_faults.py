"""Each fault switch breaks what it names, and nothing else."""

import asyncio
import json

import aiohttp
import pytest
from support.simulator_client import VMIS, VMS, Client
from support.waiting import until

from summit_simulator import SimulatedCluster
from summit_simulator.api.faults import INVALID_UTF8


async def test_a_refusing_cluster_comes_back_on_its_port(client: Client, cluster: SimulatedCluster) -> None:
    """Open streams break, new connections are refused, and later the same URL works."""
    url = cluster.url
    async with client.watch() as watch:
        await watch.event()
        cluster.faults.refuse_connections()
        with pytest.raises(aiohttp.ClientError):
            await watch.line()
    with pytest.raises(aiohttp.ClientConnectionError):
        await client.get(VMS)
    await cluster.faults.accept_connections()
    assert (cluster.url, (await client.get(VMS)).code) == (url, 200)


async def test_streams_close_cleanly_or_break(client: Client, cluster: SimulatedCluster) -> None:
    """A clean end is an empty read, a broken one an error; other resources go on."""
    async with client.watch() as vms, client.watch(VMIS) as vmis:
        await vms.event()
        await until(lambda: len(cluster.faults.streams) == 2)
        cluster.faults.close_streams("virtualmachines")
        assert await vms.line() == b""
        cluster.faults.close_streams("virtualmachineinstances", abort=True)
        with pytest.raises(aiohttp.ClientError):
            await vmis.line()


async def test_half_open_sends_nothing_until_unfrozen(client: Client, cluster: SimulatedCluster) -> None:
    """Connections stay, requests are accepted, and only time passes."""
    async with client.watch() as watch:
        await watch.event()
        cluster.faults.freeze()
        cluster.create_vm("unseen", namespace="prod")
        cluster.faults.send_bookmarks()
        waiting = asyncio.ensure_future(asyncio.gather(client.get(VMS), watch.line()))
        done, _ = await asyncio.wait({waiting}, timeout=0.2)
        assert not done
        cluster.faults.unfreeze()
        answer, line = await waiting
        assert answer.code == 200
        assert json.loads(line)["object"]["metadata"]["name"] == "unseen"


async def test_a_path_answers_a_code(client: Client, cluster: SimulatedCluster) -> None:
    """A Status with Retry-After, for that path and verb only, and only so many times."""
    cluster.faults.respond(429, "/virtualmachines", verb="list", times=2, retry_after=3)
    for _ in range(2):
        answer = await client.get(VMS)
        assert (answer.code, answer.headers["Retry-After"]) == (429, "3")
        assert answer.json()["details"]["retryAfterSeconds"] == 3
        assert (await client.get(VMIS)).code == 200
    assert (await client.get(VMS)).code == 200


async def test_garbage_comes_between_good_lines(client: Client, cluster: SimulatedCluster) -> None:
    """The stream goes on after a line that cannot be read."""
    async with client.watch() as watch:
        await watch.event()
        cluster.faults.send_garbage(line=INVALID_UTF8)
        cluster.create_vm("next", namespace="prod")
        with pytest.raises(UnicodeDecodeError):
            (await watch.line()).decode()
        assert await watch.events(1) == [("ADDED", "next")]


async def test_a_truncated_line_ends_the_stream(client: Client, cluster: SimulatedCluster) -> None:
    """Half a line has no newline, and after it the end."""
    async with client.watch() as watch:
        await watch.event()
        cluster.faults.send_truncated()
        assert not (await watch.line()).endswith(b"\n")
        assert await watch.line() == b""


async def test_an_error_event_ends_the_stream(client: Client, cluster: SimulatedCluster) -> None:
    """Any Status may come in mid-stream."""
    async with client.watch() as watch:
        await watch.event()
        cluster.faults.send_error(500, "etcdserver: leader changed")
        kind, status = await watch.event()
        assert (kind, status["code"], status["message"]) == ("ERROR", 500, "etcdserver: leader changed")
        assert await watch.line() == b""


async def test_a_restored_backup_sets_revisions_back(client: Client, cluster: SimulatedCluster) -> None:
    """Objects and resourceVersions are those of the backup, every stream breaks, and new writes count from there."""
    backup = cluster.backup()
    cluster.create_vm("lost", namespace="prod")
    ahead = cluster.store.revision
    async with client.watch() as watch:
        await watch.events(2)
        cluster.restore(backup)
        with pytest.raises(aiohttp.ClientError):
            await watch.line()
    listed = (await client.get(VMS)).json()
    assert [vm["metadata"]["name"] for vm in listed["items"]] == ["web"]
    assert int(listed["metadata"]["resourceVersion"]) == backup.revision < ahead
