"""A list-watch and a cluster that misbehaves: nothing is lost, nothing is wrongly deleted, no server is hammered.

The oracle is the simulated cluster's own store, never a log line.
"""

import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from itertools import repeat
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from support.mirror import Mirror, mirrored
from support.tcp_proxy import tcp_proxy
from support.waiting import until
from support.watched import QUICK, lists

from summit_models.cluster import ConnectionState as State
from summit_models.contract import ClusterName
from summit_simulator.cluster import SimulatedCluster
from summit_simulator.objects.resources import named
from summit_simulator.objects.store import event_line
from summit_watcher.kube.bounds import LIST_OBJECTS
from summit_watcher.kube.connection import ClusterConnection
from summit_watcher.kube.errors import RegressedError
from summit_watcher.kube.resources import MIGRATIONS
from summit_watcher.listwatch.events import Apply, Delete, Init, InitApply, InitDone
from summit_watcher.listwatch.state import Listing, ListReason
from summit_watcher.settings import TIMES, Retry, WatcherTimes

VMS = "virtualmachines"


@pytest.fixture
async def cluster() -> AsyncIterator[SimulatedCluster]:
    async with SimulatedCluster("vulcan", bookmark_seconds=0.3) as simulated:
        for number in range(8):
            simulated.create_vm(f"vm-{number}")
        yield simulated


@pytest.fixture
async def connection(cluster: SimulatedCluster, tmp_path: Path) -> AsyncIterator[ClusterConnection]:
    path = cluster.write_kubeconfig(tmp_path / "vulcan.yaml")
    async with ClusterConnection(path, name=ClusterName("vulcan")) as connected:
        yield connected


def truth(cluster: SimulatedCluster) -> Mapping[str, str]:
    return {uid: vm["metadata"]["resourceVersion"] for uid, vm in cluster.truth(VMS)[VMS].items()}


def ends(reason: str) -> float:
    """How many watches of VMs have ended for this reason, by the metric."""
    labels = {"cluster": "vulcan", "resource": VMS, "reason": reason}
    return REGISTRY.get_sample_value("summit_watch_restarts_total", labels) or 0.0


async def synced(mirror: Mirror, cluster: SimulatedCluster) -> None:
    await until(lambda: mirror.state is State.SYNCED and mirror.objects == truth(cluster))


@pytest.mark.parametrize("streams", [True, False])
async def test_a_list_is_complete_and_the_watch_goes_on_from_it(
    cluster: SimulatedCluster, connection: ClusterConnection, *, streams: bool
) -> None:
    """The events are the same, whether the server streams the list (WatchList) or answers 422 and it comes in pages."""
    cluster.faults.watch_list = streams
    async with mirrored(connection, QUICK) as mirror:
        await synced(mirror, cluster)
        assert (mirror.count(Init), mirror.count(InitApply), mirror.count(InitDone)) == (1, 8, 1)
        vm = cluster.create_vm("later")
        await synced(mirror, cluster)
        cluster.delete(VMS, vm)
        await synced(mirror, cluster)
    assert mirror.deletes == [vm["metadata"]["uid"]]
    pages = [request.query for request in cluster.requests_for(VMS, verb="list")]
    assert [page["limit"] for page in pages] == ([] if streams else ["3", "3", "3"])
    assert not any("resourceVersion" in page for page in pages)  # beside `continue` it would be a 400
    assert mirror.states == [State.LISTING, State.SYNCED]


async def test_a_server_without_streaming_lists_is_asked_once_per_connection(
    cluster: SimulatedCluster, connection: ClusterConnection
) -> None:
    """All resources share the refusal."""
    cluster.faults.watch_list = False
    async with mirrored(connection, QUICK) as first:
        await synced(first, cluster)
    async with mirrored(connection, QUICK) as second:
        await synced(second, cluster)
    assert sum("sendInitialEvents" in request.query for request in cluster.requests) == 1


async def test_a_server_whose_watch_progress_is_disabled_is_listed_in_pages_at_once(
    cluster: SimulatedCluster, connection: ClusterConnection
) -> None:
    """A kube-apiserver whose etcd is 3.4 answers 500 to streaming lists; two retries of it took 14 s."""
    cluster.faults.watch_progress = False
    async with mirrored(connection, TIMES) as mirror:
        await synced(mirror, cluster)
        assert [request.verb for request in cluster.requests_for(VMS)][:2] == ["watch", "list"]
        assert mirror.states == [State.LISTING, State.SYNCED]
    async with mirrored(connection, TIMES) as again:
        await synced(again, cluster)
    assert sum("sendInitialEvents" in request.query for request in cluster.requests) == 1


async def test_streaming_lists_are_tried_again_after_a_while(cluster: SimulatedCluster, tmp_path: Path) -> None:
    """The server may have been upgraded."""
    cluster.faults.watch_progress = False
    path = cluster.write_kubeconfig(tmp_path / "soon.yaml")
    times = replace(QUICK, avoid_streaming_seconds=0.3)
    async with ClusterConnection(path, name=ClusterName("vulcan"), times=times) as connection:
        async with mirrored(connection, QUICK) as mirror:
            await synced(mirror, cluster)
        assert not connection.has_streaming_lists
        await until(lambda: connection.has_streaming_lists)


async def test_a_relay_that_drops_bookmarks_costs_seconds(
    cluster: SimulatedCluster, connection: ClusterConnection
) -> None:
    """Seen in the field: the first VM came after ten waits of 70 s. The quiet watch behind it is no failure either."""
    cluster.faults.drop_bookmarks = True
    async with mirrored(connection, replace(QUICK, streaming_list_idle_seconds=0.3)) as mirror:
        await synced(mirror, cluster)
        silent = ends("idle")
        await until(lambda: ends("idle") >= silent + 2)
        cluster.create_vm("later")
        await synced(mirror, cluster)
    assert mirror.states == [State.LISTING, State.SYNCED]
    assert lists(cluster) == 2


async def test_a_slow_resource_does_not_hold_the_others(
    cluster: SimulatedCluster, connection: ClusterConnection
) -> None:
    """Lists of one cluster run side by side."""
    cluster.faults.withhold(MIGRATIONS.plural)
    async with mirrored(connection, TIMES, resource=MIGRATIONS) as slow:
        await until(lambda: cluster.requests_for(MIGRATIONS.plural))
        async with mirrored(connection, TIMES) as mirror:
            await synced(mirror, cluster)
        assert slow.count(InitDone) == 0
        await cluster.faults.clear()
        await until(lambda: slow.count(InitDone))


async def test_a_list_without_an_end_is_an_error_and_deletes_nothing(
    cluster: SimulatedCluster, connection: ClusterConnection
) -> None:
    """277 000 made-up VMs were read from one. The next attempt is minutes later, since it would be as long."""
    cluster.faults.watch_list = False
    async with mirrored(connection, QUICK) as mirror:
        await synced(mirror, cluster)
        cluster.faults.continue_tokens = repeat("again")
        cluster.forget_history()
        cluster.create_vm("new")
        cluster.forget_history()
        cluster.faults.close_streams(abort=True)
        await until(lambda: mirror.state is State.BACKOFF and "the list of virtualmachines" in (mirror.reason or ""))
        assert len(mirror.objects) == 8
    assert mirror.deletes == []


async def test_a_watch_that_adds_objects_without_end_is_given_up(
    cluster: SimulatedCluster, connection: ClusterConnection
) -> None:
    """A list has a bound, and what came after it had none."""
    async with mirrored(connection, QUICK) as mirror:
        await synced(mirror, cluster)
        mirror.also_known = LIST_OBJECTS
        cluster.create_vm("one-more")
        await until(
            lambda: mirror.state is State.BACKOFF and "more than 150000 virtualmachines" in (mirror.reason or "")
        )
        assert len(mirror.objects) == 8
    assert mirror.deletes == []


async def test_a_watch_that_expires_after_each_event_is_paced_and_not_called_synced(
    cluster: SimulatedCluster, connection: ClusterConnection
) -> None:
    """It cost 14 000 requests in 40 s, while the state was "synced"."""
    faster = WatcherTimes(retry=Retry(0.8 / 30, 30 / 30), page_size=500)
    event = event_line("MODIFIED", cluster.store.records(named(VMS))[-1].data)
    async with mirrored(connection, faster) as mirror:
        await synced(mirror, cluster)
        cluster.faults.expire_watches_after(event)
        await until(lambda: mirror.state is State.BACKOFF)
        before, known, start = len(cluster.requests), len(mirror.states), time.monotonic()
        await until(lambda: time.monotonic() - start > 1.0)
        assert len(cluster.requests) - before <= 20
        assert State.SYNCED not in mirror.states[known:]
        assert "too old resource version" in (mirror.reason or "")
        await cluster.faults.clear()
        await synced(mirror, cluster)


async def test_an_empty_cluster_is_listed_in_pages_too(
    cluster: SimulatedCluster, connection: ClusterConnection
) -> None:
    """A page without items is a list, but has no event for the sink."""
    cluster.faults.watch_list = False
    async with mirrored(connection, QUICK, resource=MIGRATIONS) as mirror:
        await until(lambda: mirror.count(InitDone))
    assert mirror.objects == {}


async def test_pages_that_expire_in_the_middle_delete_nothing(
    cluster: SimulatedCluster, connection: ClusterConnection
) -> None:
    """The partial list is dropped; after the second time the list is requested without pages."""
    cluster.faults.watch_list = False
    async with mirrored(connection, QUICK) as mirror:
        await synced(mirror, cluster)
        cluster.faults.respond(410, VMS, verb="list", page=2, times=2)
        cluster.forget_history()
        cluster.create_vm("new")
        cluster.forget_history()
        cluster.faults.close_streams(abort=True)
        await synced(mirror, cluster)
    assert mirror.deletes == []
    assert (mirror.count(Init), mirror.count(InitDone)) == (4, 2)
    assert "limit" not in cluster.requests_for(VMS, verb="list")[-1].query


async def test_a_server_that_closes_each_watch_at_once_is_not_hammered(
    cluster: SimulatedCluster, connection: ClusterConnection
) -> None:
    """The default pauses allow ten requests in thirty seconds; here everything runs thirty times faster."""
    faster = WatcherTimes(retry=Retry(0.8 / 30, 30 / 30), page_size=500)
    async with mirrored(connection, faster) as mirror:
        await synced(mirror, cluster)
        cluster.faults.close_watches_at_once = True
        cluster.faults.close_streams()
        before, short, start = len(cluster.requests), ends("short"), time.monotonic()
        await until(lambda: time.monotonic() - start > 1.0)
        assert 3 <= len(cluster.requests) - before <= 10
        assert ends("short") - short >= 2
        cluster.faults.close_watches_at_once = False
        cluster.create_vm("later")
        await synced(mirror, cluster)
    assert lists(cluster) == 1


async def test_a_connection_that_swallows_all_bytes_is_given_up_and_resumed(
    cluster: SimulatedCluster, tmp_path: Path
) -> None:
    """A firewall has forgotten the connection and takes the bytes of both ends; new connections fare no better."""
    before = ends("idle")
    async with tcp_proxy(cluster.url) as proxy:
        path = cluster.write_kubeconfig(tmp_path / "proxied", server=proxy.url)
        times = WatcherTimes(connect_seconds=0.5)
        connection = ClusterConnection(path, name=ClusterName("vulcan"), times=times)
        async with connection, mirrored(connection, QUICK) as mirror:
            await synced(mirror, cluster)
            proxy.swallows = True
            passing = cluster.create_vm("passing")
            cluster.delete(VMS, passing)
            await until(lambda: mirror.state is State.UNREACHABLE)
            assert mirror.states == [State.LISTING, State.SYNCED, State.UNREACHABLE]
            cluster.create_vm("staying")
            proxy.swallows = False
            await synced(mirror, cluster)
    assert passing["metadata"]["uid"] in mirror.deletes
    assert ends("idle") == before + 1
    assert lists(cluster) == 1


async def test_bookmarks_keep_a_quiet_stream_alive(cluster: SimulatedCluster, connection: ClusterConnection) -> None:
    """No object changes for longer than the idle limit, and that is fine."""
    start = time.monotonic()
    async with mirrored(connection, QUICK) as mirror:
        await synced(mirror, cluster)
        await until(lambda: time.monotonic() - start > 1.5)
    assert mirror.states == [State.LISTING, State.SYNCED]
    assert len(cluster.requests_for(VMS)) == 1


@pytest.mark.parametrize("abort", [True, False])
async def test_half_a_line_is_dropped(cluster: SimulatedCluster, connection: ClusterConnection, *, abort: bool) -> None:
    """The stream is reset or ends in good order, in the middle of a line."""
    async with mirrored(connection, QUICK) as mirror:
        await synced(mirror, cluster)
        cluster.faults.send_truncated(VMS, abort=abort)
        cluster.create_vm("behind")
        await synced(mirror, cluster)
    assert lists(cluster) == 1


@pytest.mark.parametrize(
    ("code", "state"), [(403, State.FORBIDDEN), (404, State.CRD_MISSING), (500, State.BACKOFF), (429, State.THROTTLED)]
)
async def test_a_refusal_deletes_nothing(
    cluster: SimulatedCluster, connection: ClusterConnection, code: int, state: State
) -> None:
    """Rights and CRDs come and go; known objects stay until a complete list lacks them."""
    async with mirrored(connection, QUICK) as mirror:
        await synced(mirror, cluster)
        cluster.faults.respond(code, VMS)
        cluster.faults.close_streams(abort=True)
        await until(lambda: mirror.state is state)
        assert len(mirror.objects) == 8
        await cluster.faults.clear()
        await synced(mirror, cluster)
    assert mirror.deletes == []
    assert lists(cluster) == 1


async def test_the_server_is_left_alone_as_long_as_it_asks(
    cluster: SimulatedCluster, connection: ClusterConnection
) -> None:
    """429 with Retry-After leads to no list, and to no request before its time."""
    async with mirrored(connection, QUICK) as mirror:
        await synced(mirror, cluster)
        cluster.faults.respond(429, VMS, retry_after=1, times=1)
        cluster.faults.close_streams(abort=True)
        await until(lambda: mirror.state is State.THROTTLED)
        asked, start = len(cluster.requests), time.monotonic()
        await synced(mirror, cluster)
        assert time.monotonic() - start > 0.9
    assert len(cluster.requests) <= asked + 2
    assert lists(cluster) == 1


@pytest.mark.parametrize("streams", [True, False])
@pytest.mark.parametrize(
    ("code", "message"), [(429, "too many requests"), (503, "busy"), (429, "storage is (re)initializing")]
)
async def test_a_list_waits_as_long_as_the_server_asks(
    cluster: SimulatedCluster, connection: ClusterConnection, *, code: int, message: str, streams: bool
) -> None:
    """An API server that starts or protects itself gets the same request again, once, when it has asked for that."""
    cluster.faults.watch_list = streams
    cluster.faults.respond(code, VMS, retry_after=1, message=message, times=1)
    start = time.monotonic()
    async with mirrored(connection, QUICK) as mirror:
        await until(lambda: mirror.state is State.THROTTLED)
        assert message in (mirror.reason or "")
        asked = len(cluster.requests)
        await synced(mirror, cluster)
        assert time.monotonic() - start > 0.9
    assert asked == 1
    assert lists(cluster) == 2


async def test_a_page_of_a_proxy_is_not_a_list(cluster: SimulatedCluster, connection: ClusterConnection) -> None:
    """Captive portals answer 200 with HTML."""
    cluster.faults.respond_html(VMS)
    async with mirrored(connection, QUICK) as mirror:
        await until(lambda: mirror.state is State.UNREACHABLE)
        assert mirror.reason is not None
        assert "text/html, not JSON" in mirror.reason
        await cluster.faults.clear()
        await synced(mirror, cluster)


def as_of(cluster: SimulatedCluster) -> Listing:
    """The first list of a watcher that stored the present resourceVersion."""
    now = str(cluster.store.revision)
    return Listing(ListReason.RESUMED, at=now, seen=now)


async def test_each_change_after_a_stored_resource_version_is_passed_on(
    cluster: SimulatedCluster, connection: ClusterConnection
) -> None:
    """The state is listed as it was then, in pages, and the watch goes on from there: nothing is skipped."""
    before, start = truth(cluster), as_of(cluster)
    passing = cluster.create_vm("passing")
    cluster.patch(VMS, passing, {"metadata": {"labels": {"a": "b"}}})
    cluster.delete(VMS, passing)
    journal = [change.revision for change in cluster.store.journal if change.resource == VMS]
    async with mirrored(connection, QUICK, start=start) as mirror:
        await until(lambda: passing["metadata"]["uid"] in mirror.deletes)
    listed = {
        e.object.metadata.uid: e.object.metadata.resource_version for e in mirror.received if type(e) is InitApply
    }
    assert listed == before
    versions = [int(e.object.metadata.resource_version) for e in mirror.received if isinstance(e, Apply | Delete)]
    assert versions == [revision for revision in journal if revision > int(start.at or 0)]
    assert len(versions) >= 3
    assert mirror.deletes == [passing["metadata"]["uid"]]
    assert lists(cluster) == 1


async def test_a_stored_state_that_is_out_of_reach_for_the_watch_is_compared_with_the_newest(
    cluster: SimulatedCluster, connection: ClusterConnection
) -> None:
    """Lists reach further back than watches: etcd keeps five minutes, the API server 75 seconds."""
    start = as_of(cluster)
    cluster.faults.respond(410, VMS, verb="watch", times=1)
    cluster.faults.watch_list = False
    gone = cluster.vm({"metadata": {"namespace": "default", "name": "vm-3"}}) or {}
    cluster.delete(VMS, gone)
    async with mirrored(connection, QUICK, start=start) as mirror:
        await synced(mirror, cluster)
    assert (mirror.count(InitDone), mirror.deletes) == (2, [gone["metadata"]["uid"]])


async def test_a_bookmark_from_the_past_ends_the_list_watch(
    cluster: SimulatedCluster, connection: ClusterConnection
) -> None:
    """Etcd was restored, and the watch did not notice."""
    line = b'{"type":"BOOKMARK","object":{"kind":"VirtualMachine","metadata":{"resourceVersion":"3"}}}\n'
    with pytest.raises(ExceptionGroup) as raised:  # noqa: PT012  the task group in it raises
        async with mirrored(connection, QUICK) as mirror:
            await synced(mirror, cluster)
            cluster.faults.send_garbage(VMS, line=line)
            await until(lambda: False)
    assert raised.group_contains(RegressedError, match="and the server is at 3; etcd was restored from a backup$")


async def test_a_list_that_would_delete_most_is_confirmed_by_a_second_one(
    cluster: SimulatedCluster, connection: ClusterConnection
) -> None:
    """Only two complete lists that agree delete more than half of a larger set."""
    for number in range(30):
        cluster.create_vm(f"more-{number}")
    async with mirrored(connection, QUICK) as mirror:
        await synced(mirror, cluster)
        cluster.faults.refuse_connections()
        for vm in list(cluster.truth(VMS)[VMS].values())[:30]:
            cluster.delete(VMS, vm)
        cluster.clock.advance(60)
        cluster.forget_history()
        await cluster.faults.accept_connections()
        await synced(mirror, cluster)
    assert (mirror.count(Init), mirror.count(InitDone)) == (3, 2)
    assert len(mirror.deletes) == 30
