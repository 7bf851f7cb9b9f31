"""An api on a hot standby, which sends no notifications: it reads there what the primary has applied."""

import time
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from support.api_stack import Stack, api_over, api_stack, placed_vm
from support.postgres_server import standby


@pytest.fixture
async def stack(database_url: str) -> AsyncIterator[Stack]:
    """The tables of the primary."""
    async with api_stack(database_url) as stack:
        yield stack


@pytest.fixture
async def standby_url(
    stack: Stack, postgres: str, database_url: str, pytestconfig: pytest.Config, tmp_path: Path
) -> AsyncIterator[str]:
    """URL of the same database on a standby."""
    primary = urlsplit(postgres)._replace(path=urlsplit(database_url).path).geturl()
    of_debian = pytestconfig.getoption("--postgres") != "embedded"
    async with standby(tmp_path, primary, of_debian=of_debian) as url:
        yield url


async def test_revision_is_read_as_soon_as_the_standby_has_it(stack: Stack, standby_url: str) -> None:
    """`?revision=` was answered after five seconds, with a 409: nobody had noticed the commit."""
    async with api_over(standby_url) as (http, *_):
        await http.get("/api/v1/vms")
        began = time.monotonic()
        for number in range(1, 6):
            await stack.apply(placed_vm(f"vm-{number}"))
            answer = await http.get("/api/v1/vms", params={"revision": number})
            assert (answer.status_code, len(answer.json()["items"])) == (200, number)
        assert time.monotonic() - began < 5
