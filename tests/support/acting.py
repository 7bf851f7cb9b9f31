"""The api with all that an operation goes through, and what a watcher appends in its course."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import count
from typing import Any

from support.builders import uid_of
from support.editing import SOLNA, UPPSALA, Editing, log_and_tables
from support.published import CLUSTER, datacenter_event, vm_event
from support.waiting import until

from summit_api.access.identify import Access
from summit_models.cluster import ClusterHealth, ConnectionState
from summit_models.contract import Revision
from summit_models.event import OperationEvent, operation_event
from summit_models.operation import Operation, OperationState, accepted, claimed, ended, progressed
from summit_models.subject import OPERATIONS, STREAM, operation_subject
from summit_models.vm import VmStatus
from summit_runtime.nats.publishing.append import Basis, append

ERP, WEB, DB = uid_of("prod", "erp"), uid_of("prod", "web"), uid_of("prod", "db")
WATCHER = "watch-1/4711"
PLACE = f"/datacenters/{SOLNA}/clusters/{CLUSTER}/namespaces/prod/vms"


class Acting(Editing):
    """One api over a log and its tables, with a watcher that the test plays."""

    def heartbeat(self, cluster: str = CLUSTER, **more: Any) -> None:
        """The watcher of a cluster reports that it has contact, now."""
        now = datetime.now(UTC)
        health = {"datacenter": SOLNA, "state": ConnectionState.SYNCED, "since": now, "last_contact": now} | more
        self.services.freshness.note(ClusterHealth(name=cluster, **health), health["last_contact"])

    async def steps(self) -> list[str]:
        """The newest state of each operation in the log."""
        return [event["data"]["state"] for event in (await self.newest(OPERATIONS)).values()]

    async def claim(self, id_: str) -> None:
        await self._step(id_, lambda o: claimed(o, WATCHER, None, datetime.now(UTC)))

    async def accept(self, id_: str) -> None:
        await self._step(id_, lambda o: accepted(o, "the cluster has accepted it"))

    async def progress(self, id_: str, text: str) -> None:
        await self._step(id_, lambda o: progressed(o, text))

    async def progress_without_end(self, id_: str, *, seconds: float) -> None:
        """Append one step after another, with so long in between, whatever the tables have."""
        for number in count():
            await self.append_step(operation_subject(SOLNA, CLUSTER, id_), lambda o, n=number: progressed(o, str(n)))
            await asyncio.sleep(seconds)

    async def end(self, id_: str, state: OperationState = OperationState.SUCCEEDED, message: str = "done") -> None:
        await self._step(id_, lambda o: ended(o, state, message, datetime.now(UTC)))

    async def _step(self, id_: str, make: Callable[[Operation], Operation]) -> None:
        """Append a step, and wait until the tables have it."""
        stored = await self.append_step(operation_subject(SOLNA, CLUSTER, id_), make)
        await until(self.readings.revision, lambda now: now >= stored)  # others may have gone on

    async def append_step(self, subject: str, make: Callable[[Operation], Operation]) -> Revision:
        """Append a step onto the newest one as the watcher of the cluster does."""
        message = await self.client.jetstream().get_last_msg(STREAM, subject)
        before, basis = OperationEvent.model_validate_json(message.data or b"").data, Revision(message.seq or 0)
        event = operation_event(make(before), basis, writer=WATCHER, time=datetime.now(UTC))
        return await append(self.client, [event], Basis(subject, basis))


@asynccontextmanager
async def acting(
    nats_url: str, database_url: str, access: Access | None = None, **options: Any
) -> AsyncIterator[Acting]:
    """Solna has `erp`, which runs and can be migrated, `web`, which is stopped, and `db`, which cannot be migrated."""
    async with log_and_tables(nats_url, database_url, access, **options) as api:
        acting = Acting(api.app, api.http, api.client, api.readings)
        acting.heartbeat()
        await acting.publish(
            datacenter_event(id=SOLNA, name="Solna", clusters=[CLUSTER]),
            datacenter_event(id=UPPSALA, name="Uppsala"),
            vm_event("erp", cpu=2, memory=4096, live_migratable=True, run_strategy="Always", node_name="node-1"),
            vm_event("web", status=VmStatus.STOPPED, run_strategy="Halted", cpu=1, memory=1024),
            vm_event("db", live_migratable=False, live_migratable_reason="PVC db is not shared", run_strategy="Always"),
        )
        yield acting
