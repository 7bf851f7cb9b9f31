"""Access: every operation for every role, and the errors that callers get."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.api_stack import NOW, Stack, api_over, api_stack, asgi_client, health, placed_vm
from support.issuer import following, issuing
from support.published import cluster_event, datacenter_event, migration_event

from summit_api.access import tokens
from summit_api.access.identify import Access
from summit_api.access.policy import PolicyFile
from summit_api.access.principal import Role
from summit_api.app import create_app
from summit_api.openapi.description import roles
from summit_api.openapi.document import application

TOKENS = {role: tokens.new_token() for role in Role}
EXPIRED = tokens.new_token()
LIMITS = {"solna": "datacenters: [dc-solna], ", "everything": ""}
LIMITED = {name: tokens.new_token() for name in LIMITS}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def policy(tmp_path: Path) -> PolicyFile:
    """A token for each role, one that has expired, and some with limits."""
    lines = [f"- {{name: {r}, role: {r}, sha256: {tokens.digest(t)}}}" for r, t in TOKENS.items()]
    lines += [f"- {{name: old, role: admin, expires: 2026-11-23, sha256: {tokens.digest(EXPIRED)}}}"]
    lines += [
        f"- {{name: {name}, role: viewer, {LIMITS[name]}sha256: {tokens.digest(token)}}}"
        for name, token in LIMITED.items()
    ]
    groups = "groups: [{group: ops, role: operator, datacenters: [dc-solna]}]"
    path = tmp_path / "access.yaml"
    path.write_text("\n".join(["tokens:", *lines, groups]))
    return PolicyFile(path)


@pytest.fixture
async def stack(database_url: str, policy: PolicyFile) -> AsyncIterator[Stack]:
    """VMs in two datacenters and two namespaces, for callers with tokens only."""
    async with api_stack(database_url, Access(policy=policy)) as stack:
        await stack.apply(
            datacenter_event(),
            datacenter_event(id="dc-uppsala", name="Uppsala"),
            cluster_event(),
            placed_vm("a"),
            placed_vm("b", namespace="test"),
            placed_vm("c", cluster="romulus", datacenter="dc-uppsala"),
            migration_event("b", namespace="test", vm_name="b"),
        )
        stack.report(health("romulus", datacenter="dc-uppsala"))
        yield stack


async def status_of(app: Any, method: str, path: str, headers: Mapping[str, str]) -> int:
    """The status of an answer, without waiting for its end: a feed has none."""
    started: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start" and not started.done():
            started.set_result(message["status"])

    async def receive() -> Any:
        if not started.done():
            return {"type": "http.request", "body": b"{}", "more_body": False}
        return await asyncio.Event().wait()

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1),
        "http_version": "1.1",
    }
    task = asyncio.create_task(app(scope, receive, send))
    async with asyncio.timeout(30):
        await asyncio.wait({task, started}, return_when=asyncio.FIRST_COMPLETED)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return started.result()


async def test_every_operation_for_every_role(stack: Stack) -> None:
    """401 without a token, 403 with too small a role, and otherwise neither: whatever routes there are."""
    app = stack.app
    for (method, template), needed in roles(app).items():
        path = re.sub(r"{\w+}", "x", template)
        for role in (None, *Role):
            status = await status_of(app, method, path, bearer(TOKENS[role]) if role else {})
            allowed = needed is None or (role is not None and role >= needed)
            refusal = None if allowed else 401 if role is None else 403
            seen = status if status in (401, 403) else None
            assert seen == refusal, f"{method} {template} as {role} answers {status}"


async def test_refusals_say_what_is_needed(stack: Stack) -> None:
    """Problems, with the challenge of RFC 6750; nothing of the token is in them."""
    for headers, words, challenge in (
        ({}, "send it as 'Authorization: Bearer …'", 'Bearer realm="summit-connect"'),
        (bearer(tokens.new_token()), "does not know this token", 'error="invalid_token"'),
        (bearer("x"), "does not know this token", 'error="invalid_token"'),
        (bearer("a.b.c"), "does not know this token", 'error="invalid_token"'),
        (bearer(EXPIRED), "expired at 2026-11-23T00:00:00Z", 'error="invalid_token"'),
        ({"Authorization": "Basic YTpi"}, "must be Bearer", 'error="invalid_token"'),
    ):
        answer = await stack.http.get("/api/v1/status", headers=headers)
        assert (answer.status_code, answer.headers["Content-Type"]) == (401, "application/problem+json")
        assert words in answer.json()["detail"]
        assert challenge in answer.headers["WWW-Authenticate"]
        assert headers.get("Authorization", "-")[7:] not in answer.text or not headers


async def test_viewer_learns_which_role_is_needed(database_url: str, policy: PolicyFile) -> None:
    """403 names the role that is needed and the one that asks."""
    async with api_stack(database_url, Access(policy=policy)) as stack:
        changing = [key for key, role in roles(stack.app).items() if role and role > Role.VIEWER]
        for method, template in changing:
            path = re.sub(r"{\w+}", "x", template)
            answer = await stack.http.request(method, path, headers=bearer(TOKENS[Role.VIEWER]))
            assert "token:viewer has the role viewer" in answer.json()["detail"]


async def test_entity_tag_of_one_is_not_confirmed_to_another(stack: Stack) -> None:
    """A reader of another part of the fleet gets another answer at the same revision."""
    tag = (await stack.http.get("/api/v1/vms", headers=bearer(LIMITED["solna"]))).headers["ETag"]
    for name, status in (("solna", 304), ("everything", 200)):
        answer = await stack.http.get("/api/v1/vms", headers=bearer(LIMITED[name]) | {"If-None-Match": tag})
        assert answer.status_code == status


async def test_token_ends_with_its_line(stack: Stack, policy: PolicyFile) -> None:
    """No new start is needed."""
    assert (await stack.http.get("/api/v1/status", headers=bearer(TOKENS[Role.ADMIN]))).status_code == 200
    policy._path.write_text("tokens: []")
    assert (await stack.http.get("/api/v1/status", headers=bearer(TOKENS[Role.ADMIN]))).status_code == 401


async def test_person_has_the_role_of_the_first_group_in_the_file(database_url: str, policy: PolicyFile) -> None:
    """With its limits. A person in none of the groups is known but has no role."""
    async with (
        issuing() as there,
        following(there.url) as ours,
        api_stack(database_url, Access(policy=policy, issuer=ours)) as stack,
    ):
        await stack.apply(placed_vm("a"), placed_vm("c", datacenter="dc-uppsala"))
        ops, other = bearer(there.token(groups=["ops"])), bearer(there.token(groups=["others"]))
        status = (await stack.http.get("/api/v1/status", headers=ops)).json()
        assert (status["datacenters"], status["total_vms"]) == (1, 1)
        refused = await stack.http.get("/api/v1/status", headers=other)
        assert (refused.status_code, "none of your groups" in refused.text) == (403, True)
        expired = bearer(there.token(exp=datetime(2026, 1, 1, tzinfo=UTC)))
        assert (await stack.http.get("/api/v1/status", headers=expired)).status_code == 401


async def test_issuer_that_is_away_is_no_fault_of_the_caller(database_url: str, policy: PolicyFile) -> None:
    """503 with the reason: nobody can say whether the token is good."""
    async with (
        issuing() as there,
        following("http://127.0.0.1:1") as ours,
        api_over(database_url, Access(policy=policy, issuer=ours)) as (http, *_),
    ):
        answer = await http.get("/api/v1/status", headers=bearer(there.token(groups=["ops"])))
    assert (answer.status_code, answer.json()["title"]) == (503, "Identity provider unavailable")
    assert answer.headers["Retry-After"]


async def test_page_of_elsewhere_is_a_viewer_at_most(database_url: str) -> None:
    """On the loopback one is an admin without a token; the pages that one visits are not."""
    pages = Access(anonymous=Role.ADMIN, origins=["https://ui.example.com"])
    evil = {"Origin": "https://evil.example"}
    assert (await pages.identify({}, NOW)).role is Role.ADMIN
    assert (await pages.identify({"origin": "https://ui.example.com"}, NOW)).role is Role.ADMIN
    assert (await pages.identify({"origin": evil["Origin"]}, NOW)).role is Role.VIEWER
    async with api_stack(database_url, pages) as stack:
        assert (await stack.http.get("/api/v1/status", headers=evil)).status_code == 200


WRITES = (("GET", "/migrate"), ("POST", "/migrate"), ("GET", "/admin/test-event"), ("PATCH", "/admin/datacenters/x"))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example:3001"}, 421),
        ({"Host": "evil.example:3001", "Origin": "http://evil.example:3001"}, 421),
        ({"Host": "evil.example:3001", "Sec-Fetch-Site": "same-origin"}, 421),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
async def test_no_page_of_elsewhere_changes_anything(database_url: str, headers: dict[str, str], status: int) -> None:
    """A form or a link to 127.0.0.1, a name that leads there, and the GET that migrates are all rejected."""
    async with api_stack(database_url, Access(anonymous=Role.ADMIN)) as stack:
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        for method, path in WRITES:
            answer = await stack.http.request(method, f"/api/v1{path}", headers=headers | form, content=b"vmId=a")
            assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json")


async def test_settings_have_the_names_of_the_api(database_url: str) -> None:
    """These are the host that it listens on, and the hosts of API_ORIGINS, which the refusal names."""
    ours = Access(anonymous=Role.OPERATOR, origins=["https://vms.example.com"], host="fleet.example.com")
    for host in ("vms.example.com", "fleet.example.com:3001", "localhost:3001", "[::1]:3001", "192.0.2.7"):
        assert (await ours.identify({"host": host}, NOW)).role is Role.OPERATOR
    assert (await Access(anonymous=Role.VIEWER).identify({"host": "any.example.com"}, NOW)).role is Role.VIEWER
    async with api_stack(database_url, ours) as stack:
        refused = await stack.http.get("/api/v1/status", headers={"Host": "other.example.com"})
        assert (refused.status_code, refused.json()["title"]) == (421, "Misdirected Request")
        assert "add http://other.example.com (or https://) to API_ORIGINS" in refused.json()["detail"]


async def test_token_is_taken_whatever_the_host(stack: Stack) -> None:
    """No browser sends a token by itself."""
    headers = bearer(TOKENS[Role.ADMIN]) | {"Host": "any.example.com"}
    assert (await stack.http.get("/api/v1/status", headers=headers)).status_code == 200


async def test_refused_preflight_is_a_problem() -> None:
    """As every other refusal, and its own headers stay."""
    async with asgi_client(create_app(application().state.services, origins=["https://ui.example.com"])) as http:
        asked = {"Access-Control-Request-Method": "PATCH", "Origin": "https://ui.example.com"}
        assert (await http.options("/api/v1/vms", headers=asked)).status_code == 200
        for wrong, words in (
            ({"Origin": "https://evil.example"}, "pages of https://evil.example may not use this api"),
            ({"Access-Control-Request-Method": "BREW"}, "no page may send BREW"),
            ({"Access-Control-Request-Private-Network": "true"}, "may not reach into a private network"),
        ):
            refused = await http.options("/api/v1/vms", headers=asked | wrong)
            assert (refused.status_code, refused.headers["Content-Type"]) == (400, "application/problem+json")
            assert (refused.json()["title"], refused.json()["instance"]) == (
                "Cross-origin request refused",
                "/api/v1/vms",
            )
            assert words in refused.json()["detail"]
            assert "Origin" in refused.headers["Vary"]


async def test_ticket_is_for_feeds_only(stack: Stack) -> None:
    """It is in no header, so a ticket elsewhere is as good as nothing."""
    answer = await stack.http.post("/api/v1/tickets", headers=bearer(LIMITED["solna"]))
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    ticket = answer.json()["ticket"]
    for headers in ({}, bearer(ticket)):
        refused = await stack.http.get("/api/v1/status", params={"ticket": ticket}, headers=headers)
        assert refused.status_code == 401
