"""Behind a proxy that serves the api below /summit/ and takes that away: what the api sends leads back through it."""

import re
from collections.abc import AsyncIterator

import httpx2
import pytest
from starlette.responses import Response
from support.api_stack import Stack, api_stack, asgi_client
from support.published import migration_event

from summit_api.app import create_app
from summit_api.http.root_path import RootPath
from summit_api.settings import Settings
from summit_runtime.settings import SettingsError


@pytest.fixture
async def stack(database_url: str) -> AsyncIterator[Stack]:
    async with api_stack(database_url) as stack:
        yield stack


@pytest.fixture
async def behind_proxy(stack: Stack) -> AsyncIterator[httpx2.AsyncClient]:
    """The api as the proxy asks it."""
    async with asgi_client(create_app(stack.app.state.services, root_path="/summit")) as http:
        yield http


async def test_link_of_the_next_page_stays_below_the_path(stack: Stack, behind_proxy: httpx2.AsyncClient) -> None:
    """It left the prefix, for whatever the proxy serves there."""
    await stack.apply(*(migration_event(f"m-{n}") for n in range(3)))
    answer = await behind_proxy.get("/api/v1/migrations?limit=1")
    assert answer.headers["Link"].startswith("</summit/api/v1/migrations?limit=1&")


async def test_pages_and_the_document_begin_with_the_path(behind_proxy: httpx2.AsyncClient) -> None:
    """Also the text for a terminal, and the servers of OpenAPI, from which clients are made."""
    for page in ("/", "/docs"):
        text = (await behind_proxy.get(page, headers={"Accept": "text/html"})).text
        links = re.findall(r"href=([^>]+)>", text)
        assert links
        assert all(link.startswith("/summit/") for link in links)
    assert "\n/summit/api/v1/vms " in (await behind_proxy.get("/")).text
    assert (await behind_proxy.get("/openapi.json")).json()["servers"] == [{"url": "/summit"}]


@pytest.mark.parametrize(
    ("sent", "received"),
    [("/api/v1/operations/7", "/summit/api/v1/operations/7"), ("https://elsewhere/x", "https://elsewhere/x")],
)
async def test_location_stays_below_the_path(sent: str, received: str) -> None:
    """An address with a host is somebody else's."""
    app = RootPath(Response(status_code=202, headers={"Location": sent}), "/summit")
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://a") as http:
        assert (await http.get("/")).headers["Location"] == received


@pytest.mark.parametrize(
    ("value", "path"), [("/summit/", "/summit"), ("/a/b", "/a/b"), ("/", ""), ("summit", None), ("/a b", None)]
)
def test_root_path_is_a_path(value: str, path: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slash at its end does not matter; what is no path stops the start."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://h/d")
    monkeypatch.setenv("API_ROOT_PATH", value)
    if path is None:
        with pytest.raises(SettingsError, match="variable API_ROOT_PATH: it is a path"):
            Settings.from_environment()
    else:
        assert Settings.from_environment().root_path == path
