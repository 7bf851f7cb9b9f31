"""Prometheus reads requests of the api by route, never by a path that a client invented."""

from support.api_stack import api_stack

from summit_runtime.metrics import CONTENT_TYPE


async def test_requests_are_counted_by_route_and_answer(database_url: str) -> None:
    """Ids are many: two VMs, and a path that does not exist, make two series."""
    async with api_stack(database_url) as stack:
        for path in ("/api/v1/vms/a", "/api/v1/vms/b", "/nowhere/a", "/nowhere/b"):
            await stack.http.get(path)
        answer = await stack.http.get("/metrics")
    assert answer.headers["content-type"] == CONTENT_TYPE
    counts = [
        line for line in answer.text.splitlines() if line.startswith("summit_http_request_duration_seconds_count")
    ]
    assert any('{code="404",method="GET",route="/api/v1/vms/{vm_id}"}' in line for line in counts), counts
    assert any('{code="404",method="GET",route="none"}' in line for line in counts), counts
    assert not any("nowhere" in line for line in counts)
