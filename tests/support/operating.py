"""Operations on the VM prod/web of a simulated cluster: asked for as the api does, and what the log says of them."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from support.virtctl import PLACE
from support.waiting import until
from support.watched import DATACENTER, QUICK, Healths, Log, configure

from summit_models.cluster import ConnectionState
from summit_models.contract import ClusterName, DatacenterId, Revision, Uid
from summit_models.event import OperationEvent, operation_event
from summit_models.operation import Action, Operation, OperationState, canceling, ended
from summit_models.subject import subject_of_operation
from summit_runtime.nats.connection.bus import EventClient, NatsTimes
from summit_runtime.nats.publishing.append import Basis, ConflictError, append
from summit_simulator import SimulatedCluster
from summit_watcher.operations.steps import Step
from summit_watcher.settings import Retry, WatcherTimes

S = OperationState
TIMES = WatcherTimes(
    **{name: getattr(QUICK, name) for name in ("page_size", "idle_seconds", "log_state_seconds", "retry", "retries")},
    nats=NatsTimes(answer_seconds=1.0),
    heartbeat_seconds=0.2,
    claim_seconds=0.5,
    take_over_seconds=1.0,
    progress_seconds=0.1,
    ask_again=Retry(0.02, 0.1),
    migration_end_seconds=0.3,
    unseen_seconds=0.3,
    overdue_seconds=1.0,
    overdue_check_seconds=0.1,
    lease_seconds=1,
    lease_renew_seconds=0.3,
    lease_grace_seconds=0.5,
)
"""A watcher that takes over within a second."""


class Operating:
    """Asks for operations, and reads their steps."""

    def __init__(self, client: EventClient, log: Log, healths: Healths, cluster: SimulatedCluster) -> None:
        self.client = client
        self.log = log
        self.healths = healths
        self.cluster = cluster

    async def watched(self) -> None:
        """Wait until a watcher has read the cluster: from now on a short deadline is for the operation alone."""
        await until(lambda: self.healths.state(self.cluster.name) == ConnectionState.SYNCED)

    async def ask(
        self,
        action: str,
        *,
        name: str = "web",
        seconds: float = 30,
        dry_run: bool = False,
        vm_id: str = "",
        **parameters: Any,
    ) -> Uid:
        """Append a pending operation, as the api does, and return its id once it is read in the log."""
        now = self.client.clock.now()
        vm = self.cluster.vm({"metadata": PLACE["metadata"] | {"name": name}}) or {"metadata": {"uid": vm_id}}
        operation = Operation(
            id=Uid(str(uuid4())),
            action=Action(action),
            vm_id=Uid(vm_id or vm["metadata"]["uid"]),
            vm_name=name,
            namespace="prod",
            cluster=ClusterName(self.cluster.name),
            datacenter=DatacenterId(DATACENTER),
            parameters=parameters,
            dry_run=dry_run,
            by="ada",
            requested_at=now,
            deadline=now + timedelta(seconds=seconds),
        )
        await self._append(operation, Revision(0))
        await until(lambda: self.steps(operation.id))
        return operation.id

    async def cancel(self, id_: Uid) -> None:
        """Cancel it as the api does: a pending one at once, else its watcher is asked to. A newer step comes first."""
        while True:
            step, now = self.newest(id_), self.client.clock.now()
            is_pending = step.operation.state is S.PENDING
            wanted = (
                ended(step.operation, S.CANCELED, "canceled", now) if is_pending else canceling(step.operation, "no")
            )
            try:
                await self._append(wanted, step.revision)
            except ConflictError:
                await asyncio.sleep(0.01)
            else:
                return

    async def _append(self, operation: Operation, basis: Revision) -> None:
        event = operation_event(operation, basis, writer=f"api/{uuid4().hex}", time=self.client.clock.now())
        await append(self.client, [event], Basis(subject_of_operation(operation), basis))

    def steps(self, id_: Uid) -> list[Operation]:
        """All steps of an operation, in the order of the log."""
        return [step.operation for step in self._steps(id_)]

    def newest(self, id_: Uid) -> Step:
        return self._steps(id_)[-1]

    def states(self, id_: Uid) -> list[str]:
        """The states of the steps, each once in a row."""
        states = [str(step.state) for step in self.steps(id_)]
        return [state for state, before in zip(states, [None, *states], strict=False) if state != before]

    def _steps(self, id_: Uid) -> list[Step]:
        found = [m for m in self.log.messages if m.subject.endswith(f".{id_}")]
        events = [(OperationEvent.model_validate(json.loads(m.body)), m.sequence) for m in found]
        return [Step(event.data, Revision(sequence), event.id) for event, sequence in events]

    async def reaches(self, id_: Uid, *states: str, accepted: bool | None = None) -> Operation:
        """Wait until an operation is in one of these states."""
        await until(
            lambda: self.steps(id_),
            lambda steps: steps and steps[-1].state in states and accepted in (None, steps[-1].accepted),
        )
        return self.steps(id_)[-1]

    async def end(self, id_: Uid) -> Operation:
        """Wait until an operation has ended."""
        await until(lambda: self.steps(id_), lambda steps: steps and steps[-1].has_ended)
        return self.steps(id_)[-1]

    def effects(self, action: str) -> int:
        """How often the cluster has done it to the VM."""
        return len(self.cluster.acts_on(PLACE, action))


def watch_another(config: Path) -> None:
    """Declare another cluster in place of this one."""
    config.write_text(config.read_text().replace("vulcan", "romulus"))


def declare_elsewhere(config: Path) -> None:
    """Declare the cluster in another datacenter, which is `dc-uppsala`."""
    config.write_text(config.read_text().replace(DATACENTER, "dc-uppsala"))


def config_of(directory: Path, cluster: SimulatedCluster, *, user: str = "admin") -> Path:
    """The datacenters.yaml of a watcher of this cluster."""
    return configure(directory, {cluster.name: cluster.write_kubeconfig(directory / "kubeconfig", user=user)})
