"""Embedded NATS and Postgres keep their data and their address, and leave no process behind."""

import asyncio
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import nats
import pytest
from support.nats_server import nats_server
from support.waiting import until

from summit_runtime.waiting import end
from summit_standalone.commands.subscribe import connect
from summit_standalone.embedded.child import ignore
from summit_standalone.embedded.nats import embedded_nats, nats_program
from summit_standalone.embedded.postgres import embedded_postgres
from summit_standalone.embedded.server_process import ServerError, choose_port, free_port, keep_short, running
from summit_standalone.errors import StandaloneError


async def test_postgres_keeps_tables_and_address_over_a_restart(tmp_path: Path) -> None:
    """Committed rows are there after a restart, under the same URL."""
    async with embedded_postgres(tmp_path) as url:
        first = await asyncpg.connect(url)
        await first.execute("CREATE TABLE kept AS SELECT 1 AS x")
        await first.close()
    async with embedded_postgres(tmp_path) as again:
        second = await asyncpg.connect(again)
        assert again == url
        assert await second.fetchval("SELECT x FROM kept") == 1
        await second.close()


async def test_postgres_asks_for_its_password(postgres: str) -> None:
    """The port alone gives another user of the machine no access."""
    password = urlsplit(postgres).password
    assert password
    stranger = postgres.replace(password, "guess")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(stranger)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts Postgres as another user")
async def test_a_superuser_of_the_database_of_root_cannot_write_files_of_root(postgres: str, tmp_path: Path) -> None:
    """COPY TO PROGRAM runs any program, but as nobody, who may read directories of root and write nothing there."""
    files_of_root = tmp_path / "cron.d"
    files_of_root.write_text("as it was")
    superuser = await asyncpg.connect(postgres)
    with pytest.raises(asyncpg.ExternalRoutineError):
        await superuser.execute(f"COPY (SELECT 'mine') TO PROGRAM 'cat > {files_of_root}'")
    await superuser.close()
    assert files_of_root.read_text() == "as it was"


async def test_nats_keeps_streams_and_address_over_a_restart(tmp_path: Path) -> None:
    """A published message is there after a restart, under the same URL."""
    async with embedded_nats(tmp_path) as url:
        client = await nats.connect(url)
        stream = client.jetstream()
        await stream.add_stream(name="KEPT", subjects=["kept"])
        await stream.publish("kept", b"x")
        await client.close()
    async with embedded_nats(tmp_path) as again:
        client = await nats.connect(again)
        assert again == url
        assert (await client.jetstream().get_msg("KEPT", 1)).data == b"x"
        await client.close()


async def test_nats_starts_in_a_directory_whose_name_is_not_ascii(tmp_path: Path) -> None:
    """`/home/björk` stopped every start: "Invalid escape character 'u'". Nor is anything in a name a variable."""
    directory = tmp_path / 'björk "$HOME" \\n'
    async with embedded_nats(directory) as url:
        client = await nats.connect(url)
        await client.jetstream().add_stream(name="KEPT", subjects=["kept"])
        await client.close()
    assert list(directory.glob("jetstream/*/streams/KEPT"))


async def test_nats_asks_for_its_password(tmp_path: Path) -> None:
    """The port alone gives another user of the machine neither the events nor the right to publish."""
    refusal = "refuses the user and password: write its address as nats://user:password@host:port"
    async with embedded_nats(tmp_path / "nats") as url:
        parts = urlsplit(url)
        for stranger in (f"nats://{parts.hostname}:{parts.port}", url.replace(parts.password or "", "guess")):
            with pytest.raises(StandaloneError, match=refusal):
                await connect(stranger, asyncio.Event())


async def test_data_of_before_there_were_passwords_gets_one(tmp_path: Path) -> None:
    """Its streams are still there. Files with the password are for their owner only, also the one that was for all."""
    old = tmp_path / "nats.conf"
    old.touch(mode=0o644)
    async with nats_server(tmp_path) as (address, _):
        client = await nats.connect(f"nats://{address}")
        await client.jetstream().add_stream(name="KEPT", subjects=["kept"])
        await client.jetstream().publish("kept", b"x")
        await client.close()
    async with embedded_nats(tmp_path) as url:
        assert url.endswith(f"@{address}")
        client = await nats.connect(url)
        assert (await client.jetstream().get_msg("KEPT", 1)).data == b"x"
        await client.close()
    assert {(tmp_path / name).stat().st_mode & 0o777 for name in ("nats.conf", "password")} == {0o600}


async def test_server_left_by_a_killed_parent_is_stopped_first(tmp_path: Path) -> None:
    """A parent killed with SIGKILL leaves its server; the next start ends it and takes the data over."""
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", _PARENT, str(tmp_path), stdout=-1)
    assert parent.stdout
    url = (await parent.stdout.readline()).decode().strip()
    parent.kill()
    await parent.wait()
    async with embedded_nats(tmp_path) as again:
        assert again == url
        client = await nats.connect(again)
        assert client.connected_url
        await client.close()


def test_the_first_start_takes_the_preferred_port_and_later_ones_keep_it(tmp_path: Path) -> None:
    """NATS' own default needs no address on any command line; an address that people have copied stays valid."""
    preferred = free_port()
    assert choose_port(tmp_path, preferred) == preferred
    assert choose_port(tmp_path, free_port()) == preferred


async def test_a_taken_port_is_replaced_by_a_free_one(tmp_path: Path, nats_url: str) -> None:
    """The URL has the port that was chosen instead of the preferred one."""
    taken = int(nats_url.rsplit(":", 1)[1])
    async with embedded_nats(tmp_path / "second", preferred_port=taken) as url:
        assert url != nats_url


async def test_the_error_of_a_server_that_ends_at_once_quotes_its_log(tmp_path: Path) -> None:
    """The error contains the server's own message."""
    (tmp_path / "jetstream").write_text("a file where the server wants a directory")
    with pytest.raises(ServerError, match="storage directory is not a directory"):
        async with embedded_nats(tmp_path):
            pass


async def test_a_server_on_a_full_disk_does_not_start_and_the_error_says_why(tmp_path: Path) -> None:
    """It could not write that it is ready, and the start ended after a minute without a reason."""
    program = nats_program(tmp_path, port=free_port())
    nothing_may_be_written_here = Path("/proc")
    with pytest.raises(ServerError, match=r"^nats cannot start: the disk of /proc is full or read-only$"):
        async with running(program, b"ready", directory=nothing_may_be_written_here, lock=0, report=ignore):
            pass


_PARENT = """
import asyncio, sys
from pathlib import Path
from summit_standalone.commands.subscribe import connect
from summit_standalone.embedded.nats import embedded_nats

async def main():
    async with embedded_nats(Path(sys.argv[1])) as url:
        print(url, flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_a_program_that_cannot_log_in_does_not_fill_the_disk(tmp_path: Path) -> None:
    """NATS logs each attempt: any program of the machine could write 13 GB a day into its log."""
    log = tmp_path / "nats.log"

    async with embedded_nats(tmp_path) as url:
        port = urlsplit(url).port

        async def log_in() -> bool:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b'CONNECT {"user":"summit","pass":"guess"}\r\nPING\r\n')
            assert b"Authorization Violation" in await reader.read()
            writer.close()
            return "Server is ready" not in log.read_text()

        shortening = asyncio.create_task(keep_short(log, 3000, 0.01))
        await until(log_in)
        await log_in()
        await until(lambda: "authentication error" in log.read_text())
        assert log.stat().st_size < 4000
        await end(shortening)
