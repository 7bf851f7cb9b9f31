"""WATCH of a simulated cluster behaves as that of a real kube-apiserver."""

from support.simulator_client import VMS, WATCH_LIST, Client, client_of
from support.waiting import until

from summit_simulator import SimulatedCluster


async def test_watch_resumes_after_a_resource_version(client: Client, cluster: SimulatedCluster) -> None:
    """Every change above the resourceVersion comes once and in order, those before and those after connecting."""
    since = str(cluster.store.revision)
    cluster.create_vm("one", namespace="prod")
    async with client.watch(resourceVersion=since) as watch:
        assert await watch.events(2) == [("ADDED", "one"), ("MODIFIED", "one")]
        cluster.create_vm("two", namespace="prod")
        assert await watch.events(2) == [("ADDED", "two"), ("MODIFIED", "two")]


async def test_lines_begin_with_the_type(client: Client, cluster: SimulatedCluster) -> None:
    """Readers recognize an ERROR by the first bytes, so the type comes first."""
    async with client.watch() as watch:
        assert (await watch.line()).startswith(b'{"type":"ADDED","object":{"apiVersion":"kubevirt.io/v1"')


async def test_deletion_has_a_revision_of_its_own(client: Client, cluster: SimulatedCluster) -> None:
    """DELETED carries the last state with the resourceVersion of the deletion."""
    vm = cluster.vm({"metadata": {"namespace": "prod", "name": "web"}}) or {}
    async with client.watch(resourceVersion=str(cluster.store.revision)) as watch:
        cluster.delete("virtualmachines", vm)
        await cluster.settle()
        seen = [await watch.event() for _ in range(3)]
    kind, obj = seen[-1]
    assert (kind, obj["metadata"]["uid"]) == ("DELETED", vm["metadata"]["uid"])
    assert int(obj["metadata"]["resourceVersion"]) == cluster.store.revision
    assert seen[0][1]["metadata"]["deletionTimestamp"]


async def test_expired_watch_is_an_error_event(client: Client, cluster: SimulatedCluster) -> None:
    """Below the window the answer is HTTP 200 and one ERROR event of code 410, then the end."""
    since = str(cluster.store.revision)
    cluster.create_vm("one", namespace="prod")
    cluster.forget_history()
    async with client.watch(resourceVersion=since) as watch:
        kind, status = await watch.event()
        assert (watch.response.status, kind, status["code"], status["reason"]) == (200, "ERROR", 410, "Expired")
        assert status["message"] == f"too old resource version: {since} ({cluster.store.revision})"
        assert await watch.line() == b""


async def test_history_is_a_window(client: Client) -> None:
    """Old changes are forgotten as new ones come, and a watch from before them has expired."""
    async with SimulatedCluster("small", tls=False, history_events=5) as cluster, client_of(cluster) as small:
        vm = cluster.create_vm("web", namespace="prod")
        since = str(cluster.store.revision)
        for number in range(20):
            cluster.patch("virtualmachines", vm, {"metadata": {"labels": {"n": str(number)}}})
        async with small.watch(resourceVersion=since) as watch:
            assert (await watch.event())[1]["code"] == 410
        async with small.watch(resourceVersion=str(cluster.store.revision - 3)) as watch:
            assert await watch.events(3) == [("MODIFIED", "web")] * 3


async def test_watch_from_the_future_is_silent(client: Client, cluster: SimulatedCluster) -> None:
    """A resourceVersion above the newest is accepted, and nothing is sent until it is reached."""
    future = cluster.store.revision + 3
    async with client.watch(resourceVersion=str(future)) as watch:
        cluster.create_vm("early", namespace="prod")
        assert cluster.store.revision < future
        cluster.create_vm("late", namespace="prod")
        assert await watch.events(1) == [("MODIFIED", "late")]


async def test_initial_events_end_with_a_bookmark(client: Client, cluster: SimulatedCluster) -> None:
    """A streaming list is ADDED for each object, then a bookmark that marks their end, then the changes."""
    cluster.create_vm("abc", namespace="prod")
    revision = str(cluster.store.revision)
    async with client.watch(**WATCH_LIST) as watch:
        assert await watch.events(2) == [("ADDED", "abc"), ("ADDED", "web")]
        kind, obj = await watch.event()
        assert kind == "BOOKMARK"
        assert obj["metadata"] == {
            "annotations": {"k8s.io/initial-events-end": "true"},
            "resourceVersion": revision,
        }
        cluster.create_vm("live", namespace="prod")
        assert await watch.events(1) == [("ADDED", "live")]


async def test_initial_events_without_bookmarks_have_no_end(client: Client, cluster: SimulatedCluster) -> None:
    """Without allowWatchBookmarks the end of the initial events is not marked."""
    async with client.watch(sendInitialEvents="true", resourceVersionMatch="NotOlderThan") as watch:
        assert await watch.events(1) == [("ADDED", "web")]
        cluster.create_vm("live", namespace="prod")
        assert await watch.events(1) == [("ADDED", "live")]


async def test_initial_events_switched_off_are_invalid(client: Client, cluster: SimulatedCluster) -> None:
    """Without the feature gate, sendInitialEvents is 422 Invalid with Kubernetes' own message."""
    cluster.faults.watch_list = False
    answer = await client.get(VMS, watch="1", **WATCH_LIST)
    assert (answer.code, answer.json()["reason"]) == (422, "Invalid")
    assert "forbidden for watch unless the WatchList feature gate is enabled" in answer.json()["message"]
    assert answer.json()["details"]["causes"][0]["field"] == "sendInitialEvents"


async def test_initial_events_need_not_older_than(client: Client) -> None:
    """SendInitialEvents requires resourceVersionMatch=NotOlderThan, and that requires sendInitialEvents."""
    assert (await client.get(VMS, watch="1", sendInitialEvents="true")).code == 422
    assert (await client.get(VMS, watch="1", resourceVersionMatch="NotOlderThan")).code == 422


async def test_a_watch_ends_at_its_deadline_after_a_last_bookmark(client: Client, cluster: SimulatedCluster) -> None:
    """TimeoutSeconds is kept by the server."""
    query = {"timeoutSeconds": "3", "resourceVersion": str(cluster.store.revision), "allowWatchBookmarks": "true"}
    async with client.watch(**query) as watch:
        kind, obj = await watch.event()
        assert (kind, obj["metadata"]["resourceVersion"]) == ("BOOKMARK", str(cluster.store.revision))
        assert await watch.line() == b""


async def test_bookmarks_carry_the_newest_revision_of_the_cluster(client: Client, cluster: SimulatedCluster) -> None:
    """Changes of other resources move the bookmark, so that a quiet watch does not expire."""
    async with client.watch(allowWatchBookmarks="true", resourceVersion=str(cluster.store.revision)) as watch:
        await until(lambda: cluster.faults.streams)
        cluster.objects.ensure_namespace("elsewhere")
        cluster.faults.send_bookmarks()
        _, obj = await watch.event()
        assert obj["metadata"]["resourceVersion"] == str(cluster.store.revision)


async def test_selected_objects_appear_and_disappear(client: Client, cluster: SimulatedCluster) -> None:
    """Beginning or ceasing to match a selector is ADDED or DELETED for that watch."""
    vm = cluster.create_vm("db", namespace="prod", labels={"app": "db"})
    since = str(cluster.store.revision)
    async with client.watch(labelSelector="app=web", resourceVersion=since) as watch:
        cluster.patch("virtualmachines", vm, {"metadata": {"labels": {"app": "web"}}})
        cluster.patch("virtualmachines", vm, {"metadata": {"labels": {"more": "x"}}})
        cluster.patch("virtualmachines", vm, {"metadata": {"labels": {"app": "db"}}})
        assert await watch.events(3) == [("ADDED", "db"), ("MODIFIED", "db"), ("DELETED", "db")]


async def test_every_watcher_gets_every_change(cluster: SimulatedCluster, client: Client) -> None:
    """Watchers do not take events from one another."""
    since = str(cluster.store.revision)
    async with client.watch(resourceVersion=since) as one, client.watch(resourceVersion=since) as two:
        cluster.create_vm("new", namespace="prod")
        assert await one.line() == await two.line()
