"""GET /: the first address that people try. It leads on, and shows the fleet to those who may see it."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from support.api_stack import NOW, Stack, api_over, api_stack, health, placed_vm
from support.published import CLUSTER, datacenter_event

from summit_api.access import tokens
from summit_api.access.identify import Access
from summit_api.access.policy import PolicyFile

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
CURL = {"Accept": "*/*"}
COUNTS = "virtual machines: 3 (2 running, 1 stopped); datacenters: 1; clusters: 1 (1 synced)"


@pytest.fixture
async def stack(database_url: str) -> AsyncIterator[Stack]:
    async with api_stack(database_url) as stack:
        await fill(stack)
        yield stack


async def fill(stack: Stack) -> None:
    await stack.apply(datacenter_event(), placed_vm("a"), placed_vm("b"), placed_vm("c", status="stopped"))
    stack.report(health(CLUSTER, last_contact=NOW))


class _Attributes(HTMLParser):
    """Every attribute of every element."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, str, str | None]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [(tag, name, value) for name, value in attrs]


async def test_first_link_of_the_demo_is_no_404(stack: Stack) -> None:
    """A browser gets a page with the counts and the way to /docs; each of its links is answered."""
    answer = await stack.http.get("/", headers=BROWSER)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert COUNTS in answer.text
    links = [value for _, name, value in _Attributes(answer.text).found if name == "href"]
    assert "/docs" in links
    assert {(await stack.http.get(str(link))).status_code for link in links} == {200}


async def test_front_shows_that_a_watcher_has_stopped(stack: Stack) -> None:
    """The counts alone would look as on any other day."""
    stack.now = NOW + timedelta(seconds=91)
    answer = await stack.http.get("/", headers=CURL)
    assert "; clusters: 1 (1 stale); stale virtual machines: 3\n" in answer.text


async def test_terminal_gets_three_addresses(stack: Stack) -> None:
    """Curl asks for anything, other programs for nothing: both get text."""
    for headers in (
        CURL,
        {"Accept": "text/html;q=0"},
        {"Accept": "text/html;q=nan"},
        {"Accept": "application/json"},
        {"Accept": ""},
    ):
        answer = await stack.http.get("/", headers=headers)
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert answer.text.startswith(f"summit-connect: {COUNTS}\n")
        addresses = re.findall(r"^/\S*", answer.text, re.MULTILINE)
        assert len(addresses) == 3
        assert {(await stack.http.get(address)).status_code for address in addresses} == {200}
        assert "Accept" in answer.headers["Vary"]


async def test_page_loads_nothing_and_lets_nothing_run(stack: Stack) -> None:
    """Its policy allows its own style only, so a name in it could do nothing even if it were not escaped."""
    for path in ("/", "/docs"):
        answer = await stack.http.get(path, headers=BROWSER)
        policy = dict(part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; "))
        assert (policy["default-src"], policy["frame-ancestors"]) == ("'none'", "'none'")
        assert policy["style-src"].startswith("'sha256-")
        elements = _Attributes(answer.text).found
        assert not [element for element in elements if element[0] in ("script", "img", "link", "iframe")]
        assert not [value for _, name, value in elements if name == "src" or "//" in (value or "")]
        assert not [name for _, name, _ in elements if name.startswith("on") or name == "style"]


async def test_head_and_other_methods(stack: Stack) -> None:
    """HEAD has the headers of the page; nothing else is answered there."""
    get, head = await stack.http.get("/", headers=BROWSER), await stack.http.head("/", headers=BROWSER)
    assert (head.status_code, head.content, head.headers) == (200, b"", get.headers)
    refused = await stack.http.post("/")
    assert (refused.status_code, refused.headers["Allow"]) == (405, "GET, HEAD")


async def test_counts_are_for_those_who_may_see_them(database_url: str, tmp_path: Path) -> None:
    """Without a token the page shows none; with one, those of its part of the fleet; a wrong one is refused."""
    token = tokens.new_token()
    path = tmp_path / "access.yaml"
    path.write_text(f"tokens: [{{name: a, role: viewer, datacenters: [dc-uppsala], sha256: {tokens.digest(token)}}}]\n")
    async with api_stack(database_url, Access(policy=PolicyFile(path))) as stack:
        await fill(stack)
        await stack.apply(placed_vm("d", datacenter="dc-uppsala", cluster="romulus"))
        for accept in (BROWSER, CURL):
            shown = await stack.http.get("/", headers=accept)
            assert (shown.status_code, "a token is needed" in shown.text) == (200, True)
            assert not re.search(r"virtual machines: \d", shown.text)
            mine = await stack.http.get("/", headers=accept | {"Authorization": f"Bearer {token}"})
            assert "virtual machines: 1 (1 running); datacenters: 1" in mine.text
            wrong = await stack.http.get("/", headers=accept | {"Authorization": f"Bearer {tokens.new_token()}"})
            assert wrong.status_code == 401


async def test_page_is_there_while_postgres_is_away(empty_database_url: str) -> None:
    """It says why there are no counts."""
    async with api_over(empty_database_url) as (http, *_):
        for accept in (BROWSER, CURL):
            answer = await http.get("/", headers=accept)
            assert answer.status_code == 200
            assert "cannot be counted now: " in answer.text
