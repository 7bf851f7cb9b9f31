"""Operations on many VMs: apis that drive them side by side over one log, and watchers that the test plays."""

import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
from nats.aio.client import Client
from nats.aio.msg import Msg
from support.acting import WATCHER, Acting
from support.api_stack import api_over, placed_vm
from support.driving import driving
from support.editing import SOLNA, log_and_tables
from support.projecting import api_client, publish
from support.published import datacenter_event
from support.waiting import until

from summit_api.access.identify import Access
from summit_api.bulk.plan import token_of
from summit_api.query import bulk_operations
from summit_api.services import Services
from summit_models.cluster import ClusterHealth, ConnectionState
from summit_models.contract import ClusterName
from summit_models.event import Event, OperationEvent, VmEvent, VmEventType
from summit_models.operation import Operation, OperationState, claimed, ended
from summit_models.subject import OPERATIONS, subject_of_operation
from summit_runtime.nats.connection.bus import EventClient

S = OperationState
VULCAN, ROMULUS = "vulcan", "romulus"
UNDER_WAY = (S.PENDING, S.RUNNING, S.CANCELING)


class Many(Acting):
    """One api over a log and its tables; others may be beside it."""

    all_services: list[Services]
    seen: list[Operation]
    """Each step of each operation, in the order of the log."""

    def heartbeats(self, *clusters: str) -> None:
        """Watchers of the clusters report contact to all apis, now."""
        now = datetime.now(UTC)
        for services in self.all_services:
            for name in clusters:
                health = ClusterHealth(
                    name=name, datacenter=SOLNA, state=ConnectionState.SYNCED, since=now, last_contact=now
                )
                services.freshness.note(health, now)

    async def plan(self, query: str, **body: Any) -> dict[str, Any]:
        answer = await self.ask("POST", f"/operations:bulk?{query}", body)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def confirm(self, query: str, *, key: str = "", **body: Any) -> httpx2.Response:
        """Ask for exactly what the plan of this moment shows."""
        confirm = (await self.plan(query, **body))["confirm"]
        headers = {"Idempotency-Key": key} if key else {}
        body |= {"confirm": confirm}
        return await self.http.post(f"/api/v1/operations:bulk?{query}", json=body, headers=headers)

    async def begin(self, query: str, **body: Any) -> str:
        """The id of a confirmed operation."""
        answer = await self.confirm(query, **body)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    async def publish(self, *events: Event) -> None:
        """Wait until it is applied, and perhaps more: the drivers append meanwhile."""
        revision = await publish(self.client, *events)
        await until(self.readings.revision, lambda now: now >= revision)

    async def shown(self, id_: str) -> dict[str, Any]:
        answer = await self.ask("GET", f"/bulk-operations/{id_}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def reaches(self, id_: str, state: str) -> dict[str, Any]:
        return await until(lambda: self.shown(id_), lambda shown: shown["state"] == state)

    async def counts(self, id_: str, **wanted: int) -> dict[str, int]:
        """Wait until these states have so many VMs."""
        shown = await until(lambda: self.shown(id_), lambda shown: wanted.items() <= shown["counts"].items())
        return dict(shown["counts"])

    def newest_steps(self) -> dict[str, Operation]:
        return {step.id: step for step in self.seen}

    def under_way(self) -> list[Operation]:
        return [step for step in self.newest_steps().values() if step.state in UNDER_WAY]

    async def done(self, operations: Iterable[Operation], state: S = S.SUCCEEDED) -> None:
        """Their watcher carries them out."""
        for operation in operations:
            await self.claim_by(operation)
            await self.end_by(operation, state)

    async def claim_by(self, operation: Operation) -> None:
        """A watcher begins it."""
        await self.advance(operation, lambda o: claimed(o, WATCHER, None, datetime.now(UTC)))

    async def end_by(self, operation: Operation, state: S) -> None:
        await self.advance(operation, lambda o: ended(o, state, "done", datetime.now(UTC)))

    async def children(self, id_: str, state: str) -> list[dict[str, Any]]:
        return list((await self.ask("GET", f"/operations?parent={id_}&state={state}")).json()["items"])

    async def delete(self, name: str, **state: Any) -> None:
        """Its cluster does not have the VM any more."""
        (event,) = vms(name, versions=(3, 0), type_=VmEventType.DELETED, **state)
        await self.publish(event)

    def silence(self, cluster: str) -> None:
        """No watcher has reported of the cluster for two minutes."""
        for services in self.all_services:
            health = services.freshness.health(ClusterName(cluster))
            assert health is not None
            before = datetime.now(UTC) - timedelta(minutes=2)
            services.freshness.note(health.model_copy(update={"last_contact": before}), before)

    async def driver_steps(self, later_seconds: float = 0) -> None:
        """What each api does from time to time, at a moment, until there is no more to do."""
        now = self.client.clock.now() + timedelta(seconds=later_seconds)
        for services in self.all_services:
            while await services.driver.step(now):
                pass

    async def token_of(self, id_: str) -> str:
        """The token with which it was confirmed."""
        async with self.services.read_models.transaction() as transaction:
            step = await bulk_operations.step_of(transaction, id_)
        assert step is not None
        return token_of(step.operation)

    async def advance(self, operation: Operation, make: Callable[[Operation], Operation]) -> None:
        await self.append_step(subject_of_operation(operation), make)

    async def play(self, id_: str, outcome: Callable[[Operation], S] = lambda _: S.SUCCEEDED) -> dict[str, Any]:
        """Watchers carry out whatever comes, until the operation has ended."""

        async def ended_() -> dict[str, Any]:
            for operation in self.under_way():
                if operation.state is S.PENDING:
                    await self.done([operation], outcome(operation))
            return await self.shown(id_)

        return await until(ended_, lambda shown: shown["endedAt"])

    def most_at_once(self, key: Callable[[Operation], object]) -> Counter[object]:
        """How many operations with this in common were under way at once, at most."""
        active: dict[object, set[str]] = defaultdict(set)
        most: Counter[object] = Counter()
        for step in self.seen:
            (active[key(step)].add if step.state in UNDER_WAY else active[key(step)].discard)(step.id)
            most[key(step)] = max(most[key(step)], len(active[key(step)]))
        return most


def vms(*names: str, cluster: str = VULCAN, **state: Any) -> list[VmEvent]:
    return [placed_vm(name, cluster=cluster, run_strategy="RerunOnFailure", **state) for name in names]


@asynccontextmanager
async def many(
    nats_url: str, database_url: str, access: Access | None = None, *, apis: int = 1, driven: bool = True
) -> AsyncIterator[Many]:
    """So many apis over one log. The requests of a test go to the first."""
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(log_and_tables(nats_url, database_url, access))
        many = Many(api.app, api.http, api.client, api.readings)
        many.all_services, many.seen = [api.services], []
        await _record(api.client, many.seen)
        for _ in range(apis - 1):
            _, services, _ = await stack.enter_async_context(api_over(database_url, access))
            services.log.client = api.services.log.client
            many.all_services.append(services)
        if driven:
            for services in many.all_services:
                await stack.enter_async_context(driving(services, api.client))
        many.heartbeats(VULCAN, ROMULUS)
        await many.publish(datacenter_event(id=SOLNA, name="Solna", clusters=[VULCAN, ROMULUS]))
        yield many


@asynccontextmanager
async def beside(many: Many, nats_url: str, database_url: str) -> AsyncIterator[EventClient]:
    """Another api with a connection of its own to NATS, which drives until the end of the block: that is its death."""
    async with api_client(nats_url) as client, api_over(database_url) as (_, services, _):
        services.log.client = client
        many.all_services.append(services)
        many.heartbeats(VULCAN, ROMULUS)
        async with driving(services, client):
            yield client
        many.all_services.remove(services)


async def _record(client: Client, seen: list[Operation]) -> None:
    async def note(message: Msg) -> None:
        seen.append(OperationEvent.model_validate(json.loads(message.data)).data)

    await client.subscribe(OPERATIONS, cb=note)
