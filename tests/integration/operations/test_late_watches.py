"""What the cluster shows may be older than the request, as after a restart or on a bad connection: it is no outcome."""

import pytest
from support.operating import Operating
from support.virtctl import PLACE, Virtctl
from support.waiting import until

from summit_models.operation import OperationState as S


async def test_a_vm_that_no_watch_has_shown_yet_is_not_gone(watched: Operating, virtctl: Virtctl) -> None:
    """A delete of it was reported as done at once, and anything else as "the VM has been deleted meanwhile"."""
    cluster = virtctl.cluster
    with cluster.unwatched():
        cluster.create_vm("web", namespace="prod", run_strategy="Always")
        await cluster.settle()
        cluster.stop_controllers()
        id_ = await watched.ask("delete")
        progress = await until(lambda: watched.newest(id_).operation.progress)
        assert progress == "the watch of the cluster does not show the VM yet"
        assert cluster.vm(PLACE)
        cluster.start_controllers()
        assert (await watched.end(id_)).message == "the VM is gone"
    assert not cluster.vm(PLACE)


@pytest.mark.parametrize("action", ["restart", "stop"])
async def test_an_instance_of_before_the_request_is_no_outcome(
    watched: Operating, virtctl: Virtctl, action: str
) -> None:
    """A restart was reported as done in the moment when it was asked for, by an instance that had been replaced."""
    await virtctl.create("Halted" if action == "stop" else "Always")
    await until(lambda: watched.log.newest("web"))
    with virtctl.cluster.unwatched():
        await (virtctl.cluster.start if action == "stop" else virtctl.cluster.restart)(PLACE)
        running = virtctl.vmi["metadata"]["uid"]
        id_ = await watched.ask(action)
        assert (await watched.end(id_)).state is S.SUCCEEDED
        left = virtctl.vmi.get("metadata", {})
        assert left.get("uid") != running or "deletionTimestamp" in left


async def test_a_restart_is_of_the_instance_that_runs(watched: Operating, virtctl: Virtctl) -> None:
    """And not of an earlier one, since the one that runs would be taken for the outcome."""
    await virtctl.create("Always")
    await until(lambda: watched.log.newest("web"))
    with virtctl.cluster.unwatched():
        await virtctl.cluster.restart(PLACE)
    running = virtctl.vmi["metadata"]["uid"]
    id_ = await watched.ask("restart")
    end = await watched.end(id_)
    assert (end.state, end.instance) == (S.SUCCEEDED, running)
    assert virtctl.vmi["metadata"]["uid"] != running
