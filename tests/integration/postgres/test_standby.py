"""An api on a hot standby, which sends no notifications; and addresses with several hosts."""

import socket
import time
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr
from support.api_stack import Stack, api_over, api_stack, placed_vm
from support.postgres_server import standby

from summit_runtime.postgres import database


@pytest.fixture
async def stack(database_url: str) -> AsyncIterator[Stack]:
    """The tables of the primary."""
    async with api_stack(database_url) as stack:
        yield stack


@pytest.fixture(scope="module")
async def standby_server(
    postgres: str, pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[str]:
    """URL of a standby, which has every database of the primary."""
    of_debian = pytestconfig.getoption("--postgres") != "embedded"
    async with standby(tmp_path_factory.mktemp("standby"), postgres, of_debian=of_debian) as url:
        yield url


async def is_standby(url: str) -> bool:
    connection = await database.connect(SecretStr(url), application="test")
    try:
        return bool(await connection.fetchval("SELECT pg_is_in_recovery()"))
    finally:
        await connection.close()


async def test_revision_is_read_as_soon_as_the_standby_has_it(
    stack: Stack, standby_server: str, database_url: str
) -> None:
    """`?revision=` was answered after five seconds, with a 409: nobody had noticed the commit."""
    async with api_over(urlsplit(standby_server)._replace(path=urlsplit(database_url).path).geturl()) as (http, *_):
        await http.get("/api/v1/vms")
        began = time.monotonic()
        for number in range(1, 6):
            await stack.apply(placed_vm(f"vm-{number}"))
            answer = await http.get("/api/v1/vms", params={"revision": number})
            assert (answer.status_code, len(answer.json()["items"])) == (200, number)
        assert time.monotonic() - began < 5


@pytest.mark.parametrize(("wanted", "found"), [("primary", False), ("prefer-standby", True), ("any", True)])
async def test_target_session_attrs_chooses_the_host(
    database_url: str, postgres: str, standby_server: str, wanted: str, *, found: bool
) -> None:
    """The standby is named first."""
    hosts = ",".join(urlsplit(url).netloc.rpartition("@")[2] for url in (standby_server, postgres))
    parts = urlsplit(postgres)
    several = parts._replace(netloc=f"{parts.username}:{parts.password}@{hosts}").geturl()
    assert await is_standby(f"{several}?target_session_attrs={wanted}") is found


async def test_host_that_does_not_answer_costs_its_own_time_only(database_url: str) -> None:
    """It used up the time of all hosts, so the next one was never asked."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        login, _, host = urlsplit(database_url).netloc.rpartition("@")
        several = urlsplit(database_url)._replace(netloc=f"{login}@127.0.0.1:{port},{host}", query="connect_timeout=1")
        began = time.monotonic()
        assert not await is_standby(several.geturl())
        assert time.monotonic() - began >= 1
