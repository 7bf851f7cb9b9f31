"""The controller of live migrations: phases of the VMIM, migrationState of the VMI.

While in flight the VMIM knows nothing but its source pod; where from and where to is on the VMI, and is copied to
the VMIM only when that is final, in an event of its own (kubevirt.md 8.2).
"""

from datetime import datetime

from summit_simulator.controllers import automatic_migrations
from summit_simulator.controllers.decisions import Step, phase_of, without_own_finalizers
from summit_simulator.controllers.machines import CONTROLLER, HANDLER
from summit_simulator.controllers.migration_course import MigrationCourse
from summit_simulator.controllers.migration_decisions import (
    ACTIVE_PHASES,
    MAX_OUTBOUND,
    MAX_PARALLEL,
    PROGRESS_TIMEOUT,
    next_migration_step,
    phase_after,
)
from summit_simulator.controllers.scheduling import Unschedulable, node_for
from summit_simulator.controllers.workqueue import WorkQueue
from summit_simulator.objects.clock import Clock
from summit_simulator.objects.manifest import (
    Manifest,
    conditions,
    drop_condition,
    metadata,
    part,
    set_condition,
    timestamp,
)
from summit_simulator.objects.objects import Objects
from summit_simulator.objects.resources import MIGRATIONS, VIRTUALMACHINEINSTANCES
from summit_simulator.objects.store import Key
from summit_simulator.objects.virtual_machine_instance import FINAL_PHASES, enter_phase, finish_hotplug, move_to

KEPT_FINAL_MIGRATIONS = 5  # per VMI (MIG:garbageCollectFinalizedMigrations)
OVER_QUOTA = "migrationRejectedByResourceQuota"
# kubevirt's defaults, as the VMI carries them
CONFIGURATION = {
    "allowAutoConverge": False,
    "allowPostCopy": False,
    "bandwidthPerMigration": "0",
    "completionTimeoutPerGiB": 150,
    "nodeDrainTaintKey": "kubevirt.io/drain",
    "parallelMigrationsPerCluster": 5,
    "parallelOutboundMigrationsPerNode": 2,
    "progressTimeout": 150,
    "unsafeMigrationOverride": False,
}


class MigrationController:
    def __init__(self, objects: Objects, clock: Clock) -> None:
        self._objects = objects
        self._clock = clock
        self._course = MigrationCourse()
        self._active: dict[Key, str] = {}  # the source node of each
        self._pending: set[Key] = set()
        self.queue = WorkQueue(clock, decide=self._decide, perform=self._perform)

    def resume(self) -> None:
        """Start over with the migrations that exist, after a restored backup has replaced them."""
        self._active.clear()
        self._pending.clear()
        for migration in list(self._objects.every(MIGRATIONS)):
            self.queue.add((metadata(migration)["namespace"], metadata(migration)["name"]))

    def vmi_changed(self, place: Key) -> None:
        """Consider the migrations of a VMI again; delete them all if it is gone (MIG:execute)."""
        vmi = self._objects.find(VIRTUALMACHINEINSTANCES, *place)
        for migration in self._migrations_of(place):
            meta = metadata(migration)
            if vmi is None and not meta.get("deletionTimestamp"):
                self._objects.delete(MIGRATIONS, meta["namespace"], meta["name"])
            else:
                self.queue.add((meta["namespace"], meta["name"]))

    def take(self, course: MigrationCourse) -> None:
        """Let migrations take another course, also those in flight."""
        self._course = course
        self.reconsider()

    def reconsider(self) -> None:
        """Decide about every migration in flight again."""
        for place in sorted({*self._active, *self._pending}):
            self.queue.add(place)

    def _decide(self, place: Key) -> Step | None:
        migration = self._objects.find(MIGRATIONS, *place)
        phase = phase_of(migration or {})
        if phase == "Pending":
            self._pending.add(place)
        else:
            self._pending.discard(place)
        if phase not in ACTIVE_PHASES:
            self._active.pop(place, None)
        if migration is None:
            return None
        vmi = self._vmi_of(migration)
        if phase in ACTIVE_PHASES:
            self._active.setdefault(place, _node_of(vmi))
        return next_migration_step(
            migration,
            vmi,
            may_begin=lambda: self._may_begin(migration, _node_of(vmi)),
            has_target=lambda: self._target_of(migration, vmi or {}) is not None,
            is_stalled=self._course.is_stalled,
        )

    def _may_begin(self, migration: Manifest, node: str) -> bool:
        """Whether quota and limits let it leave Pending; only the quota shows as a condition."""
        is_refused = OVER_QUOTA in {held["type"] for held in part(migration, "status").get("conditions") or ()}
        if self._course.quota is not None and not is_refused:
            set_condition(migration, OVER_QUOTA, "True", message=self._course.quota)
            self._write(migration)
        elif self._course.quota is None and is_refused:
            drop_condition(migration, OVER_QUOTA)
            self._write(migration)
        outbound = list(self._active.values()).count(node)
        return self._course.quota is None and len(self._active) < MAX_PARALLEL and outbound < MAX_OUTBOUND

    def _target_of(self, migration: Manifest, vmi: Manifest) -> str | None:
        selector = part(migration, "spec", "addedNodeSelector")
        try:
            return node_for(self._objects, vmi, apart_from=_node_of(vmi), selector=selector)
        except Unschedulable:
            return None

    def _perform(self, place: Key, step: Step) -> None:
        migration = self._objects.read(MIGRATIONS, *place)
        match step.action:
            case "release migration":
                released = without_own_finalizers(migration)
                self._objects.update(MIGRATIONS, released, manager=CONTROLLER, part="all")
            case "request abort":
                self._request_abort(migration)
            case "abort migration":
                self._end_abort(migration)
            case "give up migration":
                why = f"Live migration stuck for {PROGRESS_TIMEOUT:.0f} sec and has been aborted"
                self._finish(migration, failure=why, aborted=True)
            case "fail migration":
                self._finish(migration, failure="the migration was given up before the copy")
            case _:
                self._advance(migration)

    def _request_abort(self, migration: Manifest) -> None:
        set_condition(migration, "migrationAbortRequested", "True")
        self._write(migration)
        vmi = self._vmi_of(migration) or {}
        vmi["status"]["migrationState"] |= {"abortRequested": True, "abortStatus": "Aborting"}
        self._write_vmi(vmi)

    def _end_abort(self, migration: Manifest) -> None:
        if not self._course.ignores_abort:
            self._finish(migration, failure="Live migration aborted by user", aborted=True)
            return
        vmi = self._vmi_of(migration) or {}
        vmi["status"]["migrationState"]["abortStatus"] = "Failed"
        self._write_vmi(vmi)

    def _advance(self, migration: Manifest) -> None:
        phase = phase_after(migration)
        if phase == "Succeeded":
            self._finish(migration, failure=self._course.failure)
            return
        vmi = self._vmi_of(migration) or {}
        enter_phase(migration, phase, self._clock.now())
        source = metadata(vmi).get("name", "")
        migration["status"].setdefault("migrationState", {"sourcePod": f"virt-launcher-{source}-7rj5c"})
        if phase == "PreparingTarget":
            target = self._target_of(migration, vmi)
            if target is None:
                self._finish(migration, failure="no node takes the target pod any more")
                return
            self._hand_off(migration, vmi, target)
        elif phase == "Running":
            started = {"startTimestamp": timestamp(self._clock.now()), "mode": "PreCopy"}
            vmi["status"]["migrationState"] = part(vmi, "status", "migrationState") | started
            self._write_vmi(vmi)
        self._write(migration)

    def _hand_off(self, migration: Manifest, vmi: Manifest, target: str) -> None:
        name = metadata(vmi)["name"]
        vmi["status"]["migrationState"] = {
            "migrationConfiguration": CONFIGURATION,
            "migrationUid": metadata(migration)["uid"],
            "sourceNode": vmi["status"].get("nodeName"),
            "sourcePod": f"virt-launcher-{name}-7rj5c",
            "targetDirectMigrationNodePorts": {"34157": 0, "42013": 49152, "45321": 49153},
            "targetNode": target,
            "targetNodeAddress": "10.129.2.14",
            "targetPod": f"virt-launcher-{name}-m4k9d",
        }
        metadata(vmi).setdefault("labels", {})["kubevirt.io/migrationTargetNodeName"] = target
        self._write_vmi(vmi)

    def _finish(self, migration: Manifest, *, failure: str | None = None, aborted: bool = False) -> None:
        """End the migration: the VMI first, then the phase of the VMIM, then its copy of the state."""
        now, vmi = self._clock.now(), self._vmi_of(migration)
        state = self._finish_on_vmi(migration, vmi, now, failure, aborted=aborted) if vmi else None
        enter_phase(migration, "Failed" if failure else "Succeeded", now)
        self._write(migration)
        place = metadata(migration)["namespace"], metadata(migration)["name"]
        current = self._objects.find(MIGRATIONS, *place)
        if state is not None and current is not None:
            current["status"]["migrationState"] = state
            self._write(current)
        self._make_room(migration)
        is_update = automatic_migrations.WORKLOAD_UPDATE in part(migration, "metadata", "annotations")
        vmi = self._vmi_of(migration)
        if vmi is not None and not is_update and {"HotVCPUChange", "HotMemoryChange"} & conditions(vmi).keys():
            automatic_migrations.update_workload(self._objects, vmi)  # it was plugged while this one was in the way

    def _finish_on_vmi(
        self, migration: Manifest, vmi: Manifest, now: datetime, failure: str | None, *, aborted: bool
    ) -> Manifest | None:
        state: Manifest = part(vmi, "status", "migrationState")
        if state.get("migrationUid") != metadata(migration)["uid"]:
            return None  # it never came to the hand-off
        # completed is true for a failure as well: success is completed and not failed
        state |= {"completed": True, "endTimestamp": timestamp(now)}
        if aborted:
            state |= {"abortRequested": True, "abortStatus": "Succeeded"}
        if failure:
            state |= {"failed": True, "failureReason": failure}
        else:
            state |= {"targetNodeDomainDetected": True, "targetNodeDomainReadyTimestamp": timestamp(now)}
            move_to(vmi, state["targetNode"])
            finish_hotplug(vmi)
        vmi["status"]["migrationState"] = state
        metadata(vmi).get("labels", {}).pop("kubevirt.io/migrationTargetNodeName", None)
        self._write_vmi(vmi)
        return state

    def _make_room(self, finished: Manifest) -> None:
        """Delete old final migrations of this VMI, and let pending ones of others go on."""
        place = metadata(finished)["namespace"], part(finished, "spec").get("vmiName", "")
        final = [held for held in self._migrations_of(place) if phase_of(held) in FINAL_PHASES]
        final.sort(key=lambda held: int(metadata(held)["resourceVersion"]))
        for held in final[:-KEPT_FINAL_MIGRATIONS]:
            self._objects.delete(MIGRATIONS, place[0], metadata(held)["name"])
        for other in sorted(self._pending):
            self.queue.add(other)

    def _migrations_of(self, place: Key) -> list[Manifest]:
        namespace, name = place
        return list(self._objects.every(MIGRATIONS, namespace, labels={"kubevirt.io/vmi-name": name}))

    def _vmi_of(self, migration: Manifest) -> Manifest | None:
        namespace = metadata(migration)["namespace"]
        return self._objects.find(VIRTUALMACHINEINSTANCES, namespace, part(migration, "spec").get("vmiName", ""))

    def _write(self, migration: Manifest) -> None:
        metadata(migration).pop("resourceVersion", None)
        self._objects.update(MIGRATIONS, migration, manager=CONTROLLER, part="status")

    def _write_vmi(self, vmi: Manifest) -> None:
        self._objects.update(VIRTUALMACHINEINSTANCES, vmi, manager=HANDLER, part="all")


def _node_of(vmi: Manifest | None) -> str:
    return str(part(vmi or {}, "status").get("nodeName") or "")
