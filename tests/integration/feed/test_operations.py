"""Operations in the live feed: each step is sent to those who may see the VM and want operations."""

from pathlib import Path
from typing import Any

from support.feeding import feed_stack, listening
from support.published import operation_steps

from summit_api.access import tokens
from summit_api.access.identify import Access
from summit_api.access.policy import PolicyFile
from summit_api.shapes.inventory import OperationItem


def seen(client: Any) -> list[tuple[str, str, str]]:
    return [
        (message["type"], message["payload"]["operation"]["namespace"], message["payload"]["operation"]["state"])
        for message in client.messages
        if message["type"].startswith("operation:")
    ]


async def test_steps_are_sent(nats_url: str, database_url: str, tmp_path: Path) -> None:
    """`added`, then `updated`, in the shape of GET /api/v1/operations/{id}; other topics and namespaces see none."""
    limited = tokens.new_token()
    path = tmp_path / "access.yaml"
    path.write_text(f"tokens: [{{name: dev, role: viewer, namespaces: [dev], sha256: {tokens.digest(limited)}}}]")
    access = Access(anonymous=None, policy=PolicyFile(path), admin_token=(admin := tokens.new_token()))
    async with feed_stack(nats_url, database_url, access=access) as stack:
        headers = {"Authorization": f"Bearer {admin}"}
        async with (
            listening(stack.http, token=admin, types="operation") as everything,
            listening(stack.http, token=admin, types=["vm", "migration"]) as others,
            listening(stack.http, token=admin, namespace="prod") as prod,
            listening(stack.http, token=limited) as dev,
        ):
            for client in (everything, others, prod, dev):
                await client.joined()
            await stack.publish(*operation_steps("prod"), *operation_steps("dev"))
            await everything.until(lambda: len(seen(everything)) == 6)
            await prod.until(lambda: len(seen(prod)) == 3)
            await dev.until(lambda: len(seen(dev)) == 3)
        course = [("operation:added", "pending"), ("operation:updated", "running"), ("operation:updated", "succeeded")]
        assert seen(everything) == [(kind, ns, state) for ns in ("prod", "dev") for kind, state in course]
        assert seen(prod) == [(kind, "prod", state) for kind, state in course]
        assert seen(dev) == [(kind, "dev", state) for kind, state in course]
        assert seen(others) == []
        last = [m["payload"]["operation"] for m in prod.messages if m["type"].startswith("operation:")][-1]
        answer = await stack.http.get(f"/api/v1/operations/{last['id']}", headers=headers)
        assert OperationItem.model_validate(last) == OperationItem.model_validate(answer.json())
