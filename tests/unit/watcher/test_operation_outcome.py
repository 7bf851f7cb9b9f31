"""What a migration, a size, and a phase of an instance mean for an operation. Pure: facts in, outcome out."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from support import builders

from summit_models.contract import ClusterName, DatacenterId, Uid
from summit_models.operation import Action, Operation
from summit_models.operation import OperationState as S
from summit_watcher.kube.manifests.instance import VirtualMachineInstance
from summit_watcher.kube.manifests.migration import VirtualMachineInstanceMigration
from summit_watcher.kube.manifests.virtualmachine import VirtualMachine
from summit_watcher.normalize.instance import VmiFacts, vmi_facts
from summit_watcher.normalize.migration import MigrationFacts, migration_facts
from summit_watcher.normalize.virtualmachine import VmFacts, vm_facts
from summit_watcher.operations.outcome import Observed, Outcome, Progress, Seen, seen

NOW = datetime(2026, 11, 29, tzinfo=UTC)
GONE = "its migration is gone from the cluster, and its end was not seen"


def operation(action: Action, **fields: Any) -> Operation:
    """A running operation on prod/web."""
    given: dict[str, Any] = {"state": S.RUNNING, "accepted": True, "vm_id": Uid("vm"), **fields}
    return Operation(
        id=Uid("op"), action=action, vm_name="web", namespace="prod", cluster=ClusterName("vulcan"),
        datacenter=DatacenterId("dc-solna"), requested_at=NOW, deadline=NOW + timedelta(minutes=1), **given,
    )  # fmt: skip


def vm() -> VmFacts:
    return vm_facts(msgspec.convert(builders.vm("web"), VirtualMachine))


def vmi(**status: Any) -> VmiFacts:
    manifest = builders.vmi("web")
    manifest["status"] |= status
    return vmi_facts(msgspec.convert(manifest, VirtualMachineInstance))


def vmim(phase: str, **status: Any) -> MigrationFacts:
    manifest = builders.vmim("summit-op", vmi_name="web", phase=phase)
    manifest["status"] |= status
    return migration_facts(msgspec.convert(manifest, VirtualMachineInstanceMigration))


def course(migration: MigrationFacts, **fields: Any) -> dict[str, Any]:
    """The state of a migration on its instance."""
    return {"migrationState": {"migrationUid": migration.uid, **fields}}


def migrate(migration: MigrationFacts | None, instance: VmiFacts | None, state: S = S.RUNNING, **seen_: bool) -> Seen:
    return seen(operation(Action.MIGRATE, state=state), Observed(vm(), instance, migration, **seen_))


def test_a_migration_that_no_watch_shows_yet_is_waited_for() -> None:
    """The answer of the API server comes before the event."""
    assert migrate(None, vmi()) == Progress("the cluster does not show the migration yet")
    assert migrate(None, vmi(), is_migration_gone=True) == Outcome(S.FAILED, GONE)


def test_a_migration_succeeds_when_the_instance_shows_its_new_node() -> None:
    """It may show it a moment after the final phase."""
    migration = vmim("Succeeded")
    state = course(migration, targetNode="node-2", completed=True)
    assert isinstance(migrate(migration, vmi(**state)), Progress)
    moved = vmi(**state, nodeName="node-2")
    assert migrate(migration, moved) == Outcome(S.SUCCEEDED, "it runs on node-2")


@pytest.mark.parametrize("state", [S.RUNNING, S.CANCELING])
def test_a_migration_that_was_to_be_canceled_and_succeeds_has_succeeded(state: S) -> None:
    """The truth is reported."""
    migration = vmim("Succeeded", migrationState={"targetNode": "node-2", "completed": True})
    assert migrate(migration, vmi(nodeName="node-2"), state) == Outcome(S.SUCCEEDED, "it runs on node-2")


def test_the_reason_of_a_failed_migration_is_waited_for() -> None:
    """It comes one event later, or never."""
    migration = vmim("Failed")
    assert migrate(migration, vmi()) == Progress("Failed")
    assert migrate(migration, vmi(**course(migration, failureReason="too slow"))) == Outcome(S.FAILED, "too slow")
    no_reason = Outcome(S.FAILED, "the migration has failed; KubeVirt gives no reason")
    assert migrate(migration, vmi(), is_settled=True) == no_reason


def test_a_migration_that_somebody_else_aborts_has_failed() -> None:
    """Only what was to be canceled can become `canceled`: the operation ran on, and failed at each look at it."""
    migration = vmim("Failed")
    aborted = vmi(**course(migration, abortRequested=True, failureReason="Live migration aborted by user"))
    assert migrate(migration, aborted) == Outcome(S.FAILED, "Live migration aborted by user")
    assert migrate(migration, aborted, S.CANCELING) == Outcome(S.CANCELED, "the migration was aborted")


def test_the_state_of_another_migration_says_nothing() -> None:
    """The instance keeps that of its last one."""
    others = {"migrationState": {"migrationUid": "another", "failureReason": "too slow", "targetNode": "node-9"}}
    assert migrate(vmim("Running"), vmi(**others)) == Progress("Running")


def test_a_canceled_migration_that_vanishes_was_canceled() -> None:
    """Before hand-off its object goes at once."""
    assert migrate(vmim("Pending"), vmi(), S.CANCELING, is_migration_gone=True) == Outcome(
        S.CANCELED, "the migration was aborted"
    )


@pytest.mark.parametrize("action", [Action.SOFTREBOOT, Action.RESET])
def test_only_the_answer_of_the_cluster_shows_a_reboot(action: Action) -> None:
    """Without it nothing is guessed."""
    observed = Observed(vm(), vmi())
    assert seen(operation(action), observed).state == S.SUCCEEDED  # type: ignore[union-attr]
    assert seen(operation(action, accepted=False), observed).state == S.FAILED  # type: ignore[union-attr]


def test_a_start_waits_for_the_readiness_probe() -> None:
    """Running is not enough where the VM has one."""
    not_ready = vmi(conditions=[{"type": "Ready", "status": "False"}])
    assert isinstance(seen(operation(Action.START), Observed(vm(), not_ready)), Progress)
    ready = vmi(conditions=[{"type": "Ready", "status": "True"}])
    assert seen(operation(Action.START), Observed(vm(), ready)) == Outcome(S.SUCCEEDED, "it runs on node-1")


def test_a_restart_needs_another_instance() -> None:
    """The one that ran before does not count, however well it runs."""
    before = vmi()
    same = operation(Action.RESTART, instance=Uid(before.uid))
    assert isinstance(seen(same, Observed(vm(), before)), Progress)
    other = operation(Action.RESTART, instance=Uid("another"))
    assert seen(other, Observed(vm(), before)) == Outcome(S.SUCCEEDED, "another instance runs on node-1")


def test_what_blocks_a_migration_is_its_progress() -> None:
    """In the cluster's own words; at the deadline they are the last ones."""
    quota = {"type": "migrationRejectedByResourceQuota", "status": "True", "message": "exceeded quota: compute"}
    expected = "Pending: migrationRejectedByResourceQuota: exceeded quota: compute"
    assert migrate(vmim("Pending", conditions=[quota]), vmi()) == Progress(expected)
    assert migrate(vmim("Pending", conditions=[{**quota, "status": "False"}]), vmi()) == Progress("Pending")
