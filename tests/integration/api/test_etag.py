"""Ask again with If-None-Match: 304 as long as the answer would be the same, and only then."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from support.api_stack import NOW, Stack, api_stack, health, placed_vm
from support.published import CLUSTER, datacenter_event, migration_event

LISTS = ["/datacenters", "/status", "/vms", "/clusters", "/migrations", "/migrations/active"]
SECOND = timedelta(seconds=1)


@pytest.fixture
async def stack(database_url: str) -> AsyncIterator[Stack]:
    async with api_stack(database_url) as stack:
        await stack.apply(datacenter_event(), placed_vm("a", created_at=NOW), migration_event("m"))
        stack.report(health(CLUSTER, last_contact=NOW))
        yield stack


async def tags(stack: Stack) -> dict[str, str]:
    return {path: (await stack.http.get(f"/api/v1{path}")).headers["ETag"] for path in LISTS}


async def changed(stack: Stack, known: dict[str, str]) -> set[str]:
    """The lists that no longer answer 304 to their known tag."""
    answers = {p: await stack.http.get(f"/api/v1{p}", headers={"If-None-Match": known[p]}) for p in LISTS}
    assert all(answer.content == b"" for answer in answers.values() if answer.status_code == 304)
    return {path for path, answer in answers.items() if answer.status_code == 200}


async def test_nothing_changed(stack: Stack) -> None:
    """Every list answers 304 with its tag again, also in a list of tags and to *."""
    known = await tags(stack)
    assert all(tag.startswith('W/"3-') for tag in known.values())
    assert await changed(stack, known) == set()
    assert await changed(stack, {path: f'"x", {tag}' for path, tag in known.items()}) == set()
    assert await changed(stack, dict.fromkeys(known, "*")) == set()
    answer = await stack.http.get("/api/v1/vms", headers={"If-None-Match": known["/vms"]})
    assert (answer.headers["ETag"], answer.headers["Cache-Control"]) == (known["/vms"], "no-cache")


async def test_an_event_changes_every_list(stack: Stack) -> None:
    """The revision is part of every tag."""
    known = await tags(stack)
    await stack.apply(placed_vm("b"))
    assert await changed(stack, known) == set(LISTS)


async def test_a_cluster_that_becomes_stale_changes_lists_that_show_staleness(stack: Stack) -> None:
    """Though no row has changed."""
    stack.now = NOW + 60 * SECOND
    known = await tags(stack)
    stack.now = NOW + 89 * SECOND
    assert await changed(stack, known) == {"/clusters"}
    stack.now = NOW + 91 * SECOND - 0.5 * SECOND
    assert await changed(stack, known) == {"/datacenters", "/status", "/vms", "/clusters"}


async def test_ages_are_confirmed_for_a_minute_at_most(stack: Stack) -> None:
    """Only lists that show ages depend on the time; the lag of clusters is confirmed within its second alone."""
    known = await tags(stack)
    stack.now = NOW + 0.5 * SECOND
    assert await changed(stack, known) == set()
    stack.now = NOW + 29 * SECOND
    assert await changed(stack, known) == {"/clusters"}
    stack.now = NOW + 30 * SECOND
    assert await changed(stack, known) == {"/datacenters", "/vms", "/clusters"}


async def test_a_report_of_a_cluster_changes_the_clusters(stack: Stack) -> None:
    """Their last contact is shown."""
    known = await tags(stack)
    stack.report(health(CLUSTER, last_contact=NOW + SECOND))
    assert await changed(stack, known) == {"/clusters"}


async def test_a_replaced_stream_changes_every_list(stack: Stack) -> None:
    """Its revisions begin at 1 again, so that the same number may mean other rows."""
    known = await tags(stack)
    await stack.replace_stream()
    await stack.apply(datacenter_event(), placed_vm("b", epoch=1), migration_event("m"))
    assert (await stack.get("/api/v1/vms"))["revision"] == 3
    assert await changed(stack, known) == set(LISTS)


async def test_head_has_the_headers_of_get_and_no_body(stack: Stack) -> None:
    """Wherever GET is answered."""
    get, head = await stack.http.get("/api/v1/vms"), await stack.http.head("/api/v1/vms")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers == get.headers
