"""The rules that the log keeps after any fault, checked against the state of the simulated cluster.

Pure: messages and manifests in, sentences out; no sentence means that all is well. The expected state is joined here
once more, from the whole truth at once, so that what is compared is everything between a manifest and the log: lists,
watches, order, memory, publishing. How a figure is read from a manifest has tests of its own.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import msgspec

from summit_models.contract import ClusterName, DatacenterId
from summit_models.migration import Migration
from summit_models.vm import Vm
from summit_runtime.nats.streams.consumer import StreamMessage
from summit_watcher.kube.resources import (
    CLUSTER_INSTANCETYPES,
    DATA_VOLUMES,
    INSTANCETYPES,
    MIGRATIONS,
    VIRTUAL_MACHINE_INSTANCES,
    VIRTUAL_MACHINES,
    Resource,
)
from summit_watcher.normalize.datavolume import data_volume_facts
from summit_watcher.normalize.instance import VmiFacts, vmi_facts
from summit_watcher.normalize.instancetype import InstancetypeFacts, InstancetypeKey, instancetype_facts
from summit_watcher.normalize.virtualmachine import vm_facts
from summit_watcher.normalize.vm import join_vm

Json = dict[str, Any]
Truth = Mapping[str, Mapping[str, Json]]
"""`SimulatedCluster.truth()`: manifests by plural and uid."""

REMEMBERED = frozenset({"disk", "diskBytes", "problems", "_lastMigratedAt"})
"""Members that also depend on what was seen earlier, for example the disks of a VM that has stopped since."""


class LoggedEvent(NamedTuple):
    """One event of a VM or migration, as the log has it."""

    revision: int
    source: str
    epoch: int
    verb: str
    """created, updated, deleted or observed."""
    uid: str
    name: str
    versions: tuple[int, ...]
    state: Json
    changes: Json
    final_state_unknown: bool

    def __str__(self) -> str:
        return f"{self.name} ({self.uid}) in {self.source}: {self.verb} at revision {self.revision}"


@dataclass
class Replay:
    """The state and the violations that the log shows, read from its beginning."""

    living: dict[str, LoggedEvent] = field(default_factory=dict)
    ended: dict[str, LoggedEvent] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    returned: list[str] = field(default_factory=list)
    """Created after deleted. Kubernetes gives no uid twice, so without a restored etcd the delete was false."""
    ignored: int = 0
    """Events of a stale epoch, or of one that had not begun, which every reader ignores."""


def replay(messages: Sequence[StreamMessage], collection: str = "vms") -> Replay:
    """Read the events of `vms` or `migrations`, and check that the events of each object follow from each other."""
    result, epochs, known, stale = Replay(), defaultdict[str, int](int), set[str](), set[str]()
    for message in messages:
        if message.subject.startswith("summit.operations."):
            continue  # steps of operations have no epoch
        source, epoch = _source_and_epoch(message)
        if message.subject.startswith("summit.clusters."):
            known.add(source)
        elif source in known and epoch > epochs[source]:
            result.ignored += 1
            continue
        if epoch < epochs[source]:
            result.ignored += 1
            stale |= {event.uid for event in events_of([message], collection)}
            continue
        epochs[source] = epoch
        for event in events_of([message], collection):
            is_absent = event.verb == "deleted" and event.uid not in result.living
            if not (is_absent and event.uid in stale):  # or the last event of its subject would be a stale one
                _take(event, result)
            stale.discard(event.uid)
    return result


def _take(event: LoggedEvent, result: Replay) -> None:
    before = result.living.get(event.uid)
    result.violations += [f"{event}: {what}" for what in _broken_rules(before, event)]
    if event.verb == "created" and event.uid in result.ended:
        result.returned.append(f"{event}, after the end at revision {result.ended[event.uid].revision}")
    if event.verb == "deleted":
        result.living.pop(event.uid, None)
        result.ended[event.uid] = event
    else:
        result.living[event.uid] = event


def _source_and_epoch(message: StreamMessage) -> tuple[str, int]:
    """Source and epoch of any event, since an event of the cluster itself begins an epoch."""
    event = json.loads(message.body)
    return event["source"], event["epoch"]


def events_of(messages: Iterable[StreamMessage], collection: str) -> Iterator[LoggedEvent]:
    """The events of one collection. Bodies that are no event are left out: they become dead letters."""
    members = _MEMBERS[collection]
    for message in messages:
        if message.subject.split(".", 2)[1] == collection:
            event = json.loads(message.body)
            data = event["data"]
            yield LoggedEvent(
                message.sequence,
                event["source"],
                event["epoch"],
                event["type"].rpartition(".")[2],
                data["id"],
                f"{data['namespace']}/{data['name']}",
                _versions(data),
                {member: data[member] for member in members},
                data["changes"],
                data["finalStateUnknown"],
            )


_MEMBERS = {
    "vms": [info.alias or name for name, info in Vm.model_fields.items()],
    "migrations": [info.alias or name for name, info in Migration.model_fields.items()],
}


def _versions(data: Json) -> tuple[int, ...]:
    """Those that only rise; a VM may change to an instancetype with a lower version."""
    if made_from := data.get("resourceVersions"):
        return made_from["vm"], made_from["vmi"]
    return (data["resourceVersion"],)


def _broken_rules(before: LoggedEvent | None, event: LoggedEvent) -> Iterator[str]:
    if event.verb == "created":
        if before:
            yield f"it exists since revision {before.revision}"
        return
    if before is None:
        yield "it does not exist"
        return
    if event.epoch == before.epoch and any(new < old for new, old in zip(event.versions, before.versions, strict=True)):
        yield f"its resourceVersions fall from {before.versions} to {event.versions}"
    if event.verb == "updated":
        yield from _broken_changes(before, event)


def _broken_changes(before: LoggedEvent, event: LoggedEvent) -> Iterator[str]:
    """`changes` has the old values: if they are not those of the event before, one is missing in between."""
    really = {name: before.state[name] for name, value in event.state.items() if before.state[name] != value}
    if not really:
        yield "nothing has changed"
    elif really != event.changes:
        yield f"its changes are from {event.changes}, but the state before it has {really}"


def expected_vms(truth: Truth, *, cluster: str, datacenter: str) -> dict[str, Json]:
    """Each VM that exists, instances without a VM included, in its normalized state by JSON name."""
    instancetypes: dict[InstancetypeKey, InstancetypeFacts] = {}
    for resource in (INSTANCETYPES, CLUSTER_INSTANCETYPES):
        instancetypes |= {facts.key: facts for facts in _facts(truth, resource, instancetype_facts)}
    instances = defaultdict[str, list[VmiFacts]](list)
    for vmi in _facts(truth, VIRTUAL_MACHINE_INSTANCES, vmi_facts):
        instances[vmi.owner_uid or ""].append(vmi)
    volumes = {(volume.namespace, volume.name): volume for volume in _facts(truth, DATA_VOLUMES, data_volume_facts)}
    join = partial(join_vm, cluster=ClusterName(cluster), datacenter=DatacenterId(datacenter))
    joined = [join(None, alone, None) for alone in instances.pop("", ())]
    for vm in _facts(truth, VIRTUAL_MACHINES, vm_facts):
        shown = max(instances[vm.uid], key=lambda vmi: (not vmi.is_final, vmi.resource_version), default=None)
        key = vm.instancetype_key
        waits_for = [volumes[name] for claim in vm.waits_for if (name := (vm.namespace, claim)) in volumes]
        joined.append(join(vm, shown, instancetypes.get(key) if key else None, waits_for))
    return {vm.id: json.loads(vm.model_dump_json()) for vm in joined}


def _facts(truth: Truth, resource: Resource[Any], facts: Any) -> list[Any]:
    return [facts(msgspec.convert(manifest, resource.manifest)) for manifest in truth[resource.plural].values()]


def differing(expected: Json | None, found: Json | None) -> dict[str, tuple[Any, Any]]:
    """Members that differ between two states, each with both values; what is remembered is not compared."""
    if expected is None or found is None:
        return {} if expected is found else {"exists": (expected is not None, found is not None)}
    return {
        name: (value, found.get(name))
        for name, value in expected.items()
        if name not in REMEMBERED and value != found.get(name)
    }


def compare(expected: Mapping[str, Json], living: Mapping[str, LoggedEvent], *, source: str) -> list[str]:
    """Compare the log of one cluster with the truth: one sentence for each VM that differs."""
    found = {uid: event for uid, event in living.items() if event.source == source}
    sentences = []
    for uid in expected.keys() | found.keys():
        event = found.get(uid)
        if differences := differing(expected.get(uid), event.state if event else None):
            name = expected[uid]["name"] if uid in expected else found[uid].name
            sentences.append(f"{name} ({uid}) in {source}, truth and log: {differences}")
    return sentences


def compare_versions(truth: Truth, living: Mapping[str, LoggedEvent]) -> list[str]:
    """The log knows no resourceVersion that the cluster has yet to give. A lower one is of a change of no matter."""
    really = {uid: int(vm["metadata"]["resourceVersion"]) for uid, vm in truth[VIRTUAL_MACHINES.plural].items()}
    return [
        f"{event}: it has resourceVersion {event.versions[0]}, the truth {really[uid]}"
        for uid, event in living.items()
        if uid in really and event.versions[0] > really[uid]
    ]


def phases_of_migrations(truth: Truth) -> dict[str, str]:
    """The phase of each migration that exists, by uid; one whose end was asked for is between two phases."""
    migrations = truth[MIGRATIONS.plural]
    return {
        uid: (migration.get("status") or {}).get("phase") or ""
        for uid, migration in migrations.items()
        if not migration["metadata"].get("deletionTimestamp")
    }


def compare_migrations(truth: Truth, living: Mapping[str, LoggedEvent], *, source: str) -> list[str]:
    """Which migrations exist, and in which phase."""
    expected = phases_of_migrations(truth)
    found = {uid: event.state["phase"] for uid, event in living.items() if event.source == source}
    leaving = truth[MIGRATIONS.plural].keys() - expected.keys()
    return [
        f"migration {uid} in {source}: truth {expected.get(uid)!r}, log {found.get(uid)!r}"
        for uid in (expected.keys() | found.keys()) - leaving
        if expected.get(uid) != found.get(uid)
    ]
