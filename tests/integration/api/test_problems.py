"""Every failure is answered with a problem that explains it, and ends with its cause."""

from collections.abc import AsyncIterator

import httpx2
import pytest
from pydantic import SecretStr
from support.api_stack import api_over, api_stack, placed_vm
from support.published import DATACENTER, datacenter_event
from support.tcp_proxy import tcp_proxy
from support.waiting import until

from summit_models.tables import SCHEMA_REVISION
from summit_projector import migrate

EVERYTHING = ["/datacenters", "/status", "/vms", "/vms/x", "/clusters", "/migrations", "/migrations/x"]


@pytest.fixture
async def http(database_url: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with api_stack(database_url) as stack:
        yield stack.http


async def statuses(http: httpx2.AsyncClient) -> set[int]:
    answers = [await http.get(f"/api/v1{path}") for path in EVERYTHING]
    for answer in answers:
        if answer.status_code >= 400:
            assert answer.headers["Content-Type"] == "application/problem+json"
    return {answer.status_code for answer in answers}


async def test_problem_has_the_members_of_rfc_9457(http: httpx2.AsyncClient) -> None:
    """And no others: what happened is said once."""
    answer = await http.get("/api/v1/vms/none")
    assert answer.json() == {
        "type": "/docs#vm-not-found",
        "title": "VM not found",
        "status": 404,
        "detail": "there is no VM with the id 'none'",
        "instance": "/api/v1/vms/none",
    }


async def test_rejected_method_gets_the_allowed_ones(http: httpx2.AsyncClient) -> None:
    """Whichever route of the path the router looked at last."""
    for method, path, allowed in (
        ("DELETE", "/api/v1/vms", "GET, HEAD"),
        ("DELETE", "/api/v1/migrate", "GET, HEAD, POST"),
        ("GET", "/api/v1/admin/datacenters/x/vms/y", "DELETE, PATCH"),
        ("OPTIONS", "/api/v1/tickets", "POST"),
    ):
        refused = await http.request(method, path)
        assert (refused.status_code, refused.headers["Allow"]) == (405, allowed)
        assert refused.json()["detail"] == f"{path} does not answer {method}; it answers {allowed}"


async def test_edit_on_a_condition_is_not_done_regardless(http: httpx2.AsyncClient) -> None:
    """If-Match and If-Unmodified-Since were ignored: the edit could undo another one. Reads have If-None-Match."""
    for method, path in (
        ("PATCH", "/admin/datacenters/x"),
        ("POST", "/admin/datacenters/x/vms"),
        ("PATCH", "/admin/datacenters/x/vms/y"),
        ("DELETE", "/admin/datacenters/x/vms/y"),
        ("POST", "/migrate"),
    ):
        for condition in ({"If-Match": '"1"'}, {"If-Unmodified-Since": "Sun, 29 Nov 2026 00:00:00 GMT"}):
            refused = await http.request(method, f"/api/v1{path}", headers=condition, json={"name": "a"})
            assert (refused.status_code, refused.json()["title"]) == (412, "Precondition not checked")
        unconditional = await http.request(method, f"/api/v1{path}", headers={"If-Match": "*"}, json={"name": "a"})
        assert unconditional.status_code in (400, 404)


async def test_instance_is_an_address(http: httpx2.AsyncClient) -> None:
    """A name in it is encoded as it was in the request: control characters and tags came out as they are."""
    for name in ("%20", "%0D%0Ab", "%3Cb%3E", "%C3%A5", "a:b", "%7F"):
        answer = await http.get(f"/api/v1/vms/{name}")
        assert (answer.status_code, answer.json()["instance"]) == (404, f"/api/v1/vms/{name}")


async def test_slash_in_a_name_is_not_a_trailing_slash(http: httpx2.AsyncClient) -> None:
    """A VM with the id `%2F` was answered with the list of all VMs."""
    assert (await http.get("/api/v1/vms/%2F")).status_code == 404
    assert (await http.get("/api/v1/vms/")).status_code == 200
    assert (await http.get("/api/v1/vms//")).status_code == 200


async def test_thousand_wrong_parameters_are_counted(http: httpx2.AsyncClient) -> None:
    """The sentence names five of them."""
    answer = await http.get("/api/v1/vms?" + "&".join(f"x{number}=1" for number in range(1000)))
    assert answer.json()["detail"] == "x0, x1, x2, x3, x4 and 995 more are not valid: `errors` says why"
    assert len(answer.json()["errors"]) == 1000


async def test_name_that_postgres_cannot_store(http: httpx2.AsyncClient) -> None:
    """NUL is in no name: the client's mistake, not ours."""
    for path, status in (("vms/a%00b", 400), ("migrations/vm/%00", 422), ("migrations/datacenter/%00", 422)):
        assert (await http.get(f"/api/v1/{path}")).status_code == status
    for parameter in ("namespace", "label", "q", "cursor"):
        answer = await http.get(f"/api/v1/vms?{parameter}=%00")
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, parameter)
    assert (await http.get("/api/v1/events?snapshot=true&name=%00")).status_code == 422


async def test_not_ready_before_the_projector_has_migrated(empty_database_url: str) -> None:
    """Requests and readiness say so, liveness does not care; it passes when the tables are there."""
    async with api_over(empty_database_url) as (http, services, _):
        assert await statuses(http) == {503}
        answer = await http.get("/api/v1/vms")
        assert (answer.json()["title"], answer.headers["Retry-After"]) == ("Schema not ready", "2")
        ready = await http.get("/readyz")
        assert (ready.status_code, "[-]schema failed" in ready.text) == (503, True)
        assert (await http.get("/livez")).status_code == 200

        await migrate.upgrade(SecretStr(empty_database_url))
        assert await statuses(http) == {200, 404}
        services.freshness.is_connected = lambda: True
        assert (await http.get("/readyz")).text == "ok\n"
        assert (await http.get("/readyz?verbose")).text == "[+]postgres ok\n[+]schema ok\nreadyz check passed\n"


async def test_downgraded_api_does_not_serve_frozen_tables_with_200(database_url: str) -> None:
    """Its projector cannot write them, so all answers and readiness say what to do. Edits find that out, too."""
    async with api_stack(database_url) as stack:
        await stack.apply(placed_vm("a"), datacenter_event())
        async with stack.database() as database:
            await database.execute("UPDATE alembic_version SET version_num = '9999'")
        assert await statuses(stack.http) == {503}
        problem = (await stack.http.get("/api/v1/vms")).json()
        assert (problem["type"], "start that version again" in problem["detail"]) == ("/docs#schema-newer", True)
        ready = await stack.http.get("/readyz")
        assert (ready.status_code, problem["detail"] in ready.text) == (503, True)
        edit = await stack.http.patch(f"/api/v1/admin/datacenters/{DATACENTER}", json={"name": "x"})
        assert edit.json()["title"] == "Schema newer"
        async with stack.database() as database:
            await database.execute("UPDATE alembic_version SET version_num = $1", SCHEMA_REVISION)
        assert await statuses(stack.http) == {200, 404}


async def test_postgres_goes_away_and_comes_back(database_url: str) -> None:
    """503 while it is away, also on connections that were open before; no new start is needed."""
    async with (
        api_stack(database_url) as stack,
        tcp_proxy(database_url) as proxy,
        api_over(proxy.url) as (http, *_),
    ):
        await stack.apply(placed_vm("a"))
        assert await statuses(http) == {200, 404}
        proxy.shut()
        assert await statuses(http) == {503}
        assert (await http.get("/api/v1/vms")).json()["title"] == "Database unavailable"
        assert "[-]postgres failed" in (await http.get("/readyz")).text
        assert (await http.get("/health")).status_code == 200
        await proxy.open()
        await until(lambda: statuses(http), lambda seen: seen == {200, 404})


async def test_docs_need_no_other_server(http: httpx2.AsyncClient) -> None:
    """The page names every operation and loads nothing from anywhere."""
    page = (await http.get("/docs")).text
    assert "GET /api/v1/vms/{vm_id}" in page
    assert "<code>ETag</code> of the answer you have" in page
    assert "src=" not in page
    assert "://" not in page
    assert "url(" not in page
    assert "<tr id=vm-not-found>" in page  # where the type of that problem leads to
    assert (await http.get("/openapi.json")).json()["info"]["title"] == "summit-connect"
