"""`summit-connect start web` with every part a real process: the exit code is what the cluster shows."""

import asyncio
import os
import pty
import re
import signal

from support.pipeline import Pipeline
from support.standalone_command import COMMAND
from support.waiting import until

from summit_simulator.cluster import SimulatedCluster

Clusters = list[SimulatedCluster]


class Command:
    """The command while it runs, in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.output = b""
        self.reading = asyncio.create_task(self._read())

    @classmethod
    async def of(cls, pipeline: Pipeline, *arguments: str) -> "Command":
        environment = os.environ | {"SUMMIT_URL": str(pipeline.api.base_url)}
        return cls(
            await asyncio.create_subprocess_exec(
                *(COMMAND, *arguments),
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
        )

    async def _read(self) -> int:
        assert self.process.stdout
        while chunk := await self.process.stdout.read(1024):
            self.output += chunk
        return await self.process.wait()

    async def ended(self, *clusters: SimulatedCluster) -> tuple[int, list[str]]:
        """The exit code and the lines; meanwhile time passes in the clusters."""

        async def done() -> bool:
            for cluster in clusters:
                await cluster.settle()
            return self.reading.done()

        await until(done, shown=lambda: self.output)
        return self.reading.result(), self.output.decode().splitlines()


async def test_command_ends_with_what_the_cluster_shows(pipeline: Pipeline, clusters: Clusters) -> None:
    """The last line is the outcome. Afterwards the list has the operation, and the same again is refused."""
    vulcan = clusters[0]
    vulcan.create_vm("web", namespace="prod")
    await until(pipeline.vms, lambda vms: "web" in vms)
    for action, outcome in (("start", "it runs on "), ("stop", "its instance is gone")):
        code, lines = await (await Command.of(pipeline, action, "web")).ended(vulcan)
        assert code == 0, lines
        assert lines[-1].startswith(f"prod/web (vulcan): {action} succeeded: {outcome}"), lines
    code, lines = await (await Command.of(pipeline, "stop", "prod/web")).ended(vulcan)
    assert (code, lines) == (
        1,
        ["summit-connect: prod/web (vulcan): stop refused: VM web does not run: it is stopped already"],
    )
    _, lines = await (await Command.of(pipeline, "operations")).ended(vulcan)
    assert [line.split()[1:5] for line in lines[1:]] == [
        ["stop", "prod/web", "vulcan", "succeeded"],
        ["start", "prod/web", "vulcan", "succeeded"],
    ]


async def test_filters_act_on_all_that_match(pipeline: Pipeline, clusters: Clusters) -> None:
    """In both clusters, and on no other VM; the last line counts them."""
    for cluster, name in ((clusters[0], "web-1"), (clusters[0], "db"), (clusters[1], "web-2")):
        cluster.create_vm(name, namespace="prod", labels={"app": name.partition("-")[0]})
    await until(pipeline.vms, lambda vms: {"web-1", "web-2", "db"} <= set(vms))
    code, lines = await (await Command.of(pipeline, "start", "-l", "app=web", "--yes")).ended(*clusters)
    assert code == 0, lines
    assert sorted(line.partition(":")[0] for line in lines[:-1]) == ["prod/web-1 (vulcan)", "prod/web-2 (romulus)"]
    assert lines[-1] == "start of 2 VMs succeeded: 2 succeeded"
    vms = await until(pipeline.vms, lambda vms: vms["web-1"]["status"] == vms["web-2"]["status"] == "running")
    assert vms["db"]["status"] == "stopped"


async def test_operation_goes_on_after_ctrl_c(pipeline: Pipeline, clusters: Clusters) -> None:
    """Exit code 130, and the commands with which to follow and to cancel it; following it leads to its outcome."""
    vulcan = clusters[0]
    vulcan.create_vm("web", namespace="prod")
    await until(pipeline.vms, lambda vms: "web" in vms)
    command = await Command.of(pipeline, "start", "web")
    await until(lambda: b"start running" in command.output)
    command.process.send_signal(signal.SIGINT)
    await until(command.reading.done)
    assert command.reading.result() == 130
    text = command.output.decode()
    (id_,) = re.findall(r"to follow: summit-connect operations -w (\S+)", text)
    assert f"to cancel: summit-connect operations cancel {id_}" in text
    assert "interrupted: the operation goes on" in text
    code, lines = await (await Command.of(pipeline, "operations", "-w", id_)).ended(vulcan)
    assert code == 0
    assert lines[-1].startswith("prod/web (vulcan): start succeeded: it runs on ")


async def test_terminal_shows_a_table_and_asks_for_the_name(pipeline: Pipeline, clusters: Clusters) -> None:
    """A wrong name deletes nothing; the right one does, and the table has the outcome."""
    vulcan = clusters[0]
    vulcan.create_vm("web", namespace="prod")
    await until(pipeline.vms, lambda vms: "web" in vms)
    for typed, expected in (("wbe", 1), ("web", 0)):
        code, text = await _on_a_terminal(pipeline, vulcan, "delete", "web", typed=typed)
        assert code == expected, text
        assert "This deletes VM prod/web in cluster vulcan" in text
    assert re.search(r"VM +CLUSTER +ACTION +STATE +TIME +PROGRESS", text)
    assert re.search(r"prod/web +vulcan +delete +succeeded +\d+s +the VM is gone", text)
    assert "web" not in await pipeline.vms()


async def _on_a_terminal(pipeline: Pipeline, cluster: SimulatedCluster, *arguments: str, typed: str) -> tuple[int, str]:
    """Run the command on a terminal of its own, and answer its question."""
    ours, its = pty.openpty()
    environment = os.environ | {"SUMMIT_URL": str(pipeline.api.base_url), "COLUMNS": "120", "TERM": "xterm"}
    process = await asyncio.create_subprocess_exec(
        *(COMMAND, *arguments), env=environment, stdin=its, stdout=its, stderr=its, start_new_session=True
    )
    os.close(its)
    os.set_blocking(ours, False)
    waiting, seen = asyncio.create_task(process.wait()), b""
    answered = False

    async def ended() -> bool:
        nonlocal seen, answered
        await cluster.settle()
        seen += _read(ours)
        if b"to confirm: " in seen and not answered:
            os.write(ours, f"{typed}\n".encode())
            answered = True
        return waiting.done()

    try:
        await until(ended, shown=lambda: seen)
        return waiting.result(), (seen + _read(ours)).decode()
    finally:
        os.close(ours)


def _read(terminal: int) -> bytes:
    """What the terminal shows since; nothing when the other end is closed."""
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""
