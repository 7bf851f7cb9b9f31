"""kubectl works against a simulated cluster."""

import asyncio
import os
import shutil
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest
from support.waiting import until

from summit_simulator import SimulatedCluster

Kubectl = Callable[..., Coroutine[None, None, str]]


@pytest.fixture
def kubectl(cluster: SimulatedCluster, tmp_path: Path) -> Kubectl:
    """Run kubectl and return what it printed."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    kubeconfig = cluster.write_kubeconfig(tmp_path / "kubeconfig")
    environment = {"KUBECONFIG": str(kubeconfig), "HOME": str(tmp_path), "PATH": os.environ["PATH"]}

    async def run(*arguments: str, stdin: str = "", code: int = 0) -> str:
        process = await asyncio.create_subprocess_exec(
            *("kubectl", "--request-timeout=20s", *arguments),
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        printed, _ = await process.communicate(stdin.encode())
        assert process.returncode == code, printed.decode()
        return printed.decode()

    return run


async def test_kubectl_gets_lists_by_short_name(kubectl: Kubectl) -> None:
    """Discovery has the short names; kubectl prints plain lists by name and age."""
    header, row = (await kubectl("get", "vm", "-A")).splitlines()
    assert header.split() == ["NAMESPACE", "NAME", "AGE"]
    assert row.split()[:2] == ["prod", "web"]
    assert "u1.large" in await kubectl("get", "virtualmachineclusterinstancetypes")


async def test_kubectl_patches_labels_and_deletes(kubectl: Kubectl, cluster: SimulatedCluster) -> None:
    """A merge patch, a selector, and a delete that waits for the finalizers."""
    await kubectl("patch", "vm", "web", "-n", "prod", "--type=merge", "-p", '{"spec":{"runStrategy":"Always"}}')
    await cluster.settle()
    await kubectl("label", "vm", "web", "-n", "prod", "tier=one")
    assert (await kubectl("get", "vm", "-n", "prod", "-l", "tier=one", "-o", "name")).strip().endswith("/web")
    deleting = asyncio.ensure_future(kubectl("delete", "vm", "web", "-n", "prod"))
    place = {"metadata": {"namespace": "prod", "name": "web"}}
    await until(lambda: "deletionTimestamp" in (cluster.vm(place) or {"metadata": {}})["metadata"])
    await cluster.settle()
    assert 'virtualmachine.kubevirt.io "web" deleted' in await deleting


async def test_kubectl_watches(kubectl: Kubectl, cluster: SimulatedCluster) -> None:
    """-w shows a row for each change."""
    watching = asyncio.ensure_future(kubectl("get", "vm", "-n", "prod", "-w", "--output-watch-events"))
    await until(lambda: cluster.faults.streams)
    await cluster.start({"metadata": {"namespace": "prod", "name": "web"}})
    await until(lambda: cluster.faults.streams)
    cluster.faults.close_streams()
    rows = [line.split()[:2] for line in (await watching).splitlines()]
    assert rows[1] == ["ADDED", "web"]
    assert rows[-1] == ["MODIFIED", "web"]


async def test_kubectl_create_ns_works(kubectl: Kubectl) -> None:
    """The first thing that a newcomer creates; VMs may be created in it."""
    assert await kubectl("create", "ns", "shop") == "namespace/shop created\n"
    assert "shop" in await kubectl("get", "ns")


async def test_kubectl_explains_errors(kubectl: Kubectl, cluster: SimulatedCluster) -> None:
    """Status bodies become its messages."""
    assert "NotFound" in await kubectl("get", "vm", "nope", "-n", "prod", code=1)
    cluster.access.forbid("list", "virtualmachines")
    assert "Forbidden" in await kubectl("get", "vm", "-A", code=1)
