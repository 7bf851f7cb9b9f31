"""`summit-connect serve backend` as a person runs it: one command that starts and stops several processes."""

import asyncio
import json
import os
import re
import signal
import socket
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import asyncpg
import nats
import pytest
from support.program import is_running
from support.standalone_command import COMMAND, DEADLINE_SECONDS, Standalone, command, running
from support.waiting import until

from summit_standalone.directory import has_instance
from summit_standalone.embedded.server_process import free_port
from summit_standalone.instance import nats_admin_url


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with one cluster whose kubeconfig is still missing: the watcher runs and waits for it."""
    path = tmp_path_factory.mktemp("config") / "datacenters.yaml"
    path.write_text("datacenters: [{id: dc-solna, clusters: [{name: vulcan, kubeconfig: none.yaml}]}]\n")
    return path


@pytest.fixture(scope="module")
async def served(config: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Standalone]:
    """A backend that watches, ready to answer."""
    with running(tmp_path_factory.mktemp("served"), "serve", "backend", "--watch-vms", "-c", config) as standalone:
        await until(standalone.answers)
        yield standalone


async def test_status_names_addresses_and_processes(served: Standalone) -> None:
    """Scripts get natsUrl, databaseUrl and api, and each process with pid and state."""
    state = json.loads(status_of(served))
    assert state["pid"] == served.process.pid
    assert state["api"] == served.api
    assert re.match(r"nats://feed:[^@]{48}@127\.0\.0\.1:\d+$", state["natsUrl"])
    assert state["databaseUrl"].startswith("postgresql://")
    assert [process["name"] for process in state["processes"]] == ["nats", "postgres", "projector", "api", "watcher"]
    assert {process["state"] for process in state["processes"]} == {"running"}
    assert all(is_running(process["pid"]) for process in state["processes"])


async def test_the_api_has_a_user_of_postgres_that_may_only_read(served: Standalone) -> None:
    """The owner of the tables is the projector alone."""
    database = await asyncpg.connect(served.state()["databaseUrl"])

    async def users() -> set[tuple[str, str]]:
        rows = await database.fetch("SELECT application_name, usename FROM pg_stat_activity WHERE usename IS NOT NULL")
        return {(name, user) for name, user in rows if name.startswith("summit-")}

    expected = {("summit-projector", "summit"), ("summit-api", "summit_api"), ("summit-api-revisions", "summit_api")}
    await until(users, lambda found: found == expected)
    await database.close()


async def test_sighup_is_logged_and_changes_nothing(served: Standalone) -> None:
    """`systemctl reload` and an `ExecReload` that somebody copied ended it."""
    before = served.pids()
    for pid in (served.process.pid, before["api"]):
        os.kill(pid, signal.SIGHUP)
    await until(lambda: served.log.read_text().count("SIGHUP changes nothing"), lambda count: count == 2)
    assert served.pids() == before


async def test_status_begins_with_the_clusters(served: Standalone) -> None:
    """One that is not well makes the exit code 1. The JSON has the same; nobody gets the token that it asks with."""
    await until(lambda: "config_error" in status_of(served))
    answer = command("status", "--data-dir", served.data_dir)
    header, line, *_ = answer.stdout.splitlines()
    assert answer.returncode == 1
    assert header.split() == [
        "CLUSTER",
        "DATACENTER",
        "STATE",
        "VMS",
        "STALE",
        "SINCE",
        "WATCHER",
        "WATCHED",
        "SINCE",
        "REASON",
    ]
    assert line.split()[:4] == ["vulcan", "dc-solna", "config_error", "0"]
    assert re.search(rf" {socket.gethostname()}/\d+ +\d{{4}}-\d\d-\d\dT\S+Z .*none\.yaml", line)
    state = json.loads(status_of(served))
    assert [(cluster["name"], cluster["vms"]) for cluster in state["clusters"]["items"]] == [("vulcan", 0)]
    assert "apiToken" not in state


async def test_status_for_people_has_no_password(served: Standalone) -> None:
    """Other people may see the screen."""
    answer = command("status", "--data-dir", served.data_dir)
    assert re.search(r"^database +postgresql://127\.0\.0\.1:\d+/postgres$", answer.stdout, re.MULTILINE)
    assert re.search(r"^watcher +\d+ +running +0$", answer.stdout, re.MULTILINE)


async def test_rebuild_finds_the_tables_of_the_running_instance(served: Standalone) -> None:
    """The rebuilt tables have the datacenter that the watcher has published."""
    await until(lambda: json.loads(status_of(served))["applied"]["revision"] > 0)
    answer = command("rebuild", "-o", "json", "--data-dir", served.data_dir)
    assert answer.returncode == 0, answer.stderr
    rebuilt = json.loads(answer.stdout)
    assert rebuilt["found"] == 0
    assert {table["table"]: table["rows"] for table in rebuilt["tables"]}["datacenters"] == 1


def status_of(served: Standalone) -> str:
    return command("status", "-o", "json", "--data-dir", served.data_dir).stdout


async def test_second_instance_is_refused(served: Standalone) -> None:
    """One data directory has one instance; the message names its process."""
    answer = command("serve", "backend", "--data-dir", served.data_dir, "--port", str(free_port()))
    assert answer.returncode == 1
    assert f"another summit-connect (process {served.process.pid}) already runs" in answer.stderr


async def test_a_port_in_use_is_reported_before_anything_is_started(served: Standalone, tmp_path: Path) -> None:
    """A taken port is one message, and no data directory is made."""
    port = served.api.rpartition(":")[2]
    answer = command("serve", "backend", "--data-dir", tmp_path / "data", "--port", port)
    assert answer.returncode == 1
    assert answer.stderr == (
        f"summit-connect: the API cannot listen on 127.0.0.1 port {port}: Address already in use; "
        "choose another with --port or --host\n"
    )
    assert not (tmp_path / "data").exists()


async def test_a_file_that_cannot_be_written_is_one_message(tmp_path: Path) -> None:
    """A full disk or a directory of another user gave a traceback."""
    config = tmp_path / "data/nats/nats.conf"
    config.mkdir(parents=True)
    answer = command("serve", "backend", "--data-dir", tmp_path / "data", "--port", str(free_port()))
    assert answer.returncode == 1
    assert answer.stderr.splitlines()[-1] == f"summit-connect: {config}: Is a directory"
    assert "Traceback" not in answer.stderr


async def test_sub_prints_what_is_published(served: Standalone) -> None:
    """The subscribe command needs no nats command line, and finds the server by itself."""
    subscriber = await asyncio.create_subprocess_exec(
        COMMAND, "sub", "summit.test.>", "--count", "1", "--data-dir", served.data_dir, stdout=asyncio.subprocess.PIPE
    )
    client = await nats.connect(nats_admin_url(served.state()))
    async with asyncio.timeout(DEADLINE_SECONDS):
        while subscriber.returncode is None:
            await client.publish("summit.test.subject", b'{"a": 1}')
            await asyncio.sleep(0.05)
        output, _ = await subscriber.communicate()
    await client.close()
    assert output.decode() == '[#1] Received on "summit.test.subject"\n{"a": 1}\n\n'


async def test_servers_in_the_environment_replace_the_embedded_ones(tmp_path: Path, served: Standalone) -> None:
    """With NATS_URL and DATABASE_URL only the services are started."""
    first = served.state()
    servers = {"NATS_URL": nats_admin_url(first), "DATABASE_URL": first["databaseUrl"]}
    with running(tmp_path / "data", "serve", "backend", variables=servers) as standalone:
        await until(standalone.answers)
        second = standalone.state()
        assert list(standalone.children()) == ["projector", "api"]
        assert (second["natsUrl"], second["databaseUrl"]) == tuple(servers.values())
        assert standalone.stop() == 0


async def test_killed_processes_are_started_again(served: Standalone) -> None:
    """A crash is logged, the process starts again, and the others keep running."""
    before = served.pids()
    crashed = ("nats", "postgres", "api")
    for name in crashed:
        os.kill(before[name], signal.SIGKILL)

    def mended() -> bool:
        children = served.children()
        return all(children[name]["restarts"] and children[name]["state"] == "running" for name in crashed)

    await until(mended)
    await until(served.answers)
    assert all(f"{name} was ended by SIGKILL; it starts again in" in served.log.read_text() for name in crashed)
    assert {name for name, pid in served.pids().items() if pid == before[name]} == {"projector", "watcher"}


async def test_killed_instance_leaves_no_orphan_and_the_next_one_stops_in_order(tmp_path: Path, config: Path) -> None:
    """After kill -9 no process is left, and the same addresses serve the same data again.

    SIGTERM stops producers and api first, stores last: exit code 0, within ten seconds, no process left.
    """
    arguments = (tmp_path / "data", "serve", "backend", "-w", "-c", config)
    with running(*arguments) as first:
        await until(first.answers)  # the lock is held for a moment before the state can be read
        await until(lambda: "watcher" in first.children())
        before, pids = first.state(), first.pids()
        first.process.kill()
        await until(lambda: not any(is_running(pid) for pid in pids.values()))
    with running(*arguments) as second:
        await until(second.answers)
        after, pids = second.state(), second.pids()
        assert second.stop() == 0
        stops = re.findall(r"INFO +summit\.process +(\w+) stopped$", second.log.read_text(), re.MULTILINE)
    assert (after["natsUrl"], after["databaseUrl"]) == (before["natsUrl"], before["databaseUrl"])
    assert sorted(stops[:2]) == ["api", "watcher"]
    assert stops[2:] == ["projector"]
    assert [name for name, pid in pids.items() if is_running(pid)] == []
    assert not has_instance(second.data_dir)


async def test_a_start_prints_at_once_what_it_starts_and_that_nothing_is_watched(tmp_path: Path) -> None:
    """Nothing was printed until Postgres was ready, and never that the API shows what is stored only."""
    data, port = tmp_path / "data", str(free_port())
    first, second, third = await first_lines(3, "--data-dir", data, "--port", port, environment={})
    assert "no cluster is watched" in first
    assert f"starting with data directory {data}; the API will answer at http://127.0.0.1:{port}" in second
    assert "starting nats; its log is " in third


@pytest.mark.parametrize("option", [False, True])
async def test_the_port_of_the_environment_is_used(tmp_path: Path, option: bool) -> None:
    """API_PORT was replaced by the default without a sign. An option wins over its variable."""
    port, other = free_port(), free_port()
    options = ("--data-dir", tmp_path / "data", *(("--port", str(other)) if option else ()))
    _, second = await first_lines(2, *options, environment={"API_PORT": str(port), "API_HOST": "localhost"})
    assert second.endswith(f"the API will answer at http://localhost:{other if option else port}")


async def first_lines(count: int, *options: str | Path, environment: Mapping[str, str]) -> list[str]:
    """What `serve` prints first, until it is stopped."""
    process = await asyncio.create_subprocess_exec(
        *(COMMAND, "serve", "backend", *options), env=os.environ | environment, stderr=-1
    )
    assert process.stderr
    async with asyncio.timeout(DEADLINE_SECONDS):
        lines = [(await process.stderr.readline()).decode().rstrip() for _ in range(count)]
        process.send_signal(signal.SIGTERM)
        await process.communicate()
    return lines


async def test_signal_during_the_start_ends_it(tmp_path: Path) -> None:
    """Ctrl-C does not wait until everything runs."""
    with running(tmp_path / "data", "serve", "backend") as standalone:
        await until((tmp_path / "data/state.json").exists)
        assert standalone.stop(signal.SIGINT) == 0
