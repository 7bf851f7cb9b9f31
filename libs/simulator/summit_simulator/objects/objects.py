"""Writes, with the rules that an apiserver keeps for every object.

uid, creationTimestamp and generation are the server's; a write that changes nothing has no revision; an object
with finalizers is not removed but marked (apiserver, pkg/registry/generic/registry/store.go).
"""

import random
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Literal

from summit_simulator.objects import status
from summit_simulator.objects.clock import Clock
from summit_simulator.objects.manifest import Manifest, metadata, timestamp
from summit_simulator.objects.resources import NAMESPACES, Resource
from summit_simulator.objects.store import Record, Store

Part = Literal["object", "status", "all"]

# propagationPolicy of DELETE → the finalizer that lets the garbage collector act first (metav1, types.go).
PROPAGATION = {"Background": None, "Foreground": "foregroundDeletion", "Orphan": "orphan"}

# apimachinery, util/rand: without vowels, so that no names are offensive.
_SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"


class Objects:
    """Create, update and delete objects of one cluster."""

    def __init__(self, store: Store, clock: Clock, random_source: random.Random) -> None:
        self._store = store
        self._clock = clock
        self._random = random_source

    def new_uid(self) -> str:
        """A uid from the cluster's own random source, so that a seed gives the same ones."""
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def read(self, resource: Resource, namespace: str, name: str) -> Manifest:
        """The object. Raises StatusError 404."""
        return self._record(resource, namespace, name).manifest()

    def find(self, resource: Resource, namespace: str, name: str) -> Manifest | None:
        """The object, None if there is none."""
        record = self._store.get(resource, namespace if resource.namespaced else "", name)
        return record.manifest() if record else None

    def every(
        self, resource: Resource, namespace: str = "", *, labels: Mapping[str, str] | None = None
    ) -> Iterator[Manifest]:
        """All objects of a resource, of one namespace and with these labels if given, in key order."""
        wanted = (labels or {}).items()
        for record in self._store.records(resource):
            if namespace in ("", record.namespace) and wanted <= record.labels.items():
                yield record.manifest()

    def count_by_label(self, resource: Resource, label: str) -> Counter[str]:
        """How many objects carry each value of a label, without decoding any."""
        return Counter(record.labels[label] for record in self._store.records(resource) if label in record.labels)

    def ensure_namespace(self, name: str) -> None:
        if self._store.get(NAMESPACES, "", name) is None:
            labels = {"kubernetes.io/metadata.name": name}
            body: Manifest = {"metadata": {"name": name, "labels": labels}, "spec": {"finalizers": ["kubernetes"]}}
            self.create(NAMESPACES, body | {"status": {"phase": "Active"}}, manager="kube-apiserver", part="all")

    def create(
        self,
        resource: Resource,
        manifest: Manifest,
        *,
        manager: str = "kubectl",
        part: Part = "object",
        dry_run: bool = False,
    ) -> Record:
        """Create an object. Raises StatusError 409 if the name is taken.

        With part "object" its uid and creationTimestamp are dropped, and a status that has a subresource of its own.
        A dry run checks everything, returns the object, and stores nothing.
        """
        meta = manifest.setdefault("metadata", {})
        if not meta.get("name"):
            meta["name"] = meta["generateName"] + "".join(self._random.choices(_SUFFIX_LETTERS, k=5))
        namespace = meta.get("namespace", "") if resource.namespaced else ""
        if self._store.get(resource, namespace, meta["name"]):
            raise status.already_exists(resource, meta["name"])
        if part == "object":
            meta |= {"uid": None, "creationTimestamp": None}
            if resource.has_status:
                manifest.pop("status", None)
        manifest |= {"apiVersion": resource.api_version, "kind": resource.kind}
        meta["uid"] = meta.get("uid") or self.new_uid()
        meta["creationTimestamp"] = meta.get("creationTimestamp") or timestamp(self._clock.now())
        meta["generation"] = 1
        meta.pop("resourceVersion", None)
        meta["managedFields"] = list(_first_managed_fields(resource, manifest, manager))
        return Record.of(manifest, self._store.revision) if dry_run else self._store.put(resource, manifest)

    def update(
        self,
        resource: Resource,
        manifest: Manifest,
        *,
        manager: str = "kubectl",
        part: Part = "object",
        dry_run: bool = False,
    ) -> Record:
        """Replace an object, its status only, or all of it (what controllers do here in one write).

        Raises StatusError 404 if it is gone and 409 if the manifest names another resourceVersion or uid.
        """
        meta = metadata(manifest)
        namespace = meta.get("namespace", "") if resource.namespaced else ""
        record = self._record(resource, namespace, meta["name"])
        self._check_preconditions(resource, record, meta)
        current = record.manifest()
        wanted = _merged(resource, current, manifest, part)
        if wanted == current:
            return record
        self._manage(wanted, manager, "status" if part == "status" else "")
        if dry_run:
            return Record.of(wanted, record.revision)
        if metadata(wanted).get("deletionTimestamp") and not metadata(wanted).get("finalizers"):
            return self._store.delete(resource, namespace, meta["name"])
        return self._store.put(resource, wanted)

    def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        preconditions: Manifest | None = None,
        finalizer: str | None = None,
        dry_run: bool = False,
    ) -> tuple[Record, bool]:
        """Delete an object, or mark it if it has finalizers; returns it and whether it is gone.

        `finalizer` is the one that the propagation policy adds, see PROPAGATION.
        Raises StatusError 404, and 409 if a precondition (uid, resourceVersion) does not hold.
        """
        record = self._record(resource, namespace, name)
        _check_preconditions_of_delete(resource, record, preconditions or {})
        manifest = record.manifest()
        meta = metadata(manifest)
        if finalizer and not meta.get("deletionTimestamp"):
            meta["finalizers"] = [*(meta.get("finalizers") or ()), finalizer]
        if not meta.get("finalizers"):
            return (record if dry_run else self._store.delete(resource, record.namespace, name)), True
        if meta.get("deletionTimestamp") or dry_run:
            return record, False
        meta["deletionTimestamp"] = timestamp(self._clock.now())
        meta["deletionGracePeriodSeconds"] = 0
        meta["generation"] = meta.get("generation", 1) + 1
        return self._store.put(resource, manifest), False

    def _record(self, resource: Resource, namespace: str, name: str) -> Record:
        record = self._store.get(resource, namespace if resource.namespaced else "", name)
        if record is None:
            raise status.not_found(resource, name)
        return record

    def _check_preconditions(self, resource: Resource, record: Record, wanted: Manifest) -> None:
        if (version := wanted.get("resourceVersion")) and version != str(record.revision):
            raise status.modified(resource, record.name)
        if (uid := wanted.get("uid")) and uid != record.uid:
            why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {record.uid}"
            raise status.conflict(resource, record.name, why)

    def _manage(self, manifest: Manifest, manager: str, subresource: str) -> None:
        held = metadata(manifest).setdefault("managedFields", [])
        if any((entry["manager"], entry.get("subresource", "")) == (manager, subresource) for entry in held):
            return
        held.append(managed_fields(manifest, manager, timestamp(self._clock.now()), subresource))


def _check_preconditions_of_delete(resource: Resource, record: Record, wanted: Manifest) -> None:
    # apiserver, registry/rest/delete.go: other words than for an update, and the kind instead of the plural
    held = {"uid": record.uid, "resourceVersion": str(record.revision)}
    ends = {"uid": "deleted and then recreated", "resourceVersion": "modified"}
    for member, word in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
        if (given := wanted.get(member)) and given != held[member]:
            why = f"the {word} in the precondition ({given}) does not match the {word} in record ({held[member]})."
            raise status.conflict_of_kind(resource, record.name, f"{why} The object might have been {ends[member]}")


def _merged(resource: Resource, current: Manifest, wanted: Manifest, part: Part) -> Manifest:
    if part == "status":
        merged = current | {"status": wanted.get("status", {})}
        return merged if merged["status"] else {name: merged[name] for name in merged if name != "status"}
    merged = dict(wanted)
    if part == "object" and resource.has_status:
        merged.pop("status", None)
        merged |= {"status": current["status"]} if "status" in current else {}
    theirs = metadata(current)
    ours = ("uid", "creationTimestamp", "generation", "resourceVersion", "deletionTimestamp", "namespace")
    meta = {name: value for name, value in metadata(wanted).items() if name not in ours}
    meta |= {name: theirs[name] for name in ours if name in theirs}
    meta.setdefault("managedFields", theirs.get("managedFields", []))
    merged["metadata"] = meta
    merged |= {"apiVersion": current["apiVersion"], "kind": current["kind"]}
    if _desired(resource, merged) != _desired(resource, current):
        meta["generation"] = meta.get("generation", 1) + 1
    return merged


def _desired(resource: Resource, manifest: Manifest) -> Manifest:
    # Without a status subresource every change outside metadata counts as a change of the desired state,
    # which is why the generation of a VMI grows with each status write.
    apart = {"metadata", "status"} if resource.has_status else {"metadata"}
    return {name: value for name, value in manifest.items() if name not in apart}


def _first_managed_fields(resource: Resource, manifest: Manifest, manager: str) -> Iterator[Manifest]:
    time = metadata(manifest)["creationTimestamp"]
    if resource.has_status and "status" in manifest:
        desired = {name: manifest[name] for name in manifest if name != "status"}
        yield managed_fields(desired, manager, time)
        yield managed_fields(manifest, "virt-controller", time, "status")
    else:
        yield managed_fields(manifest, manager, time)


def managed_fields(manifest: Manifest, manager: str, time: str, subresource: str = "") -> Manifest:
    """One managedFields entry that names every field, as server-side tracking does."""
    if subresource:
        fields = {"f:status": _fields(manifest.get("status", {}))}
    else:
        named = {name: manifest[name] for name in manifest if name not in ("apiVersion", "kind")}
        named["metadata"] = {
            name: value
            for name, value in metadata(manifest).items()
            if name in ("annotations", "labels", "finalizers", "generateName", "ownerReferences")
        }
        fields = _fields(named)
    entry = {"apiVersion": manifest["apiVersion"], "fieldsType": "FieldsV1", "fieldsV1": fields}
    entry |= {"manager": manager, "operation": "Update", "time": time}
    return entry | ({"subresource": subresource} if subresource else {})


def _fields(manifest: Manifest) -> Manifest:
    nested = {f"f:{name}": _fields(v) if isinstance(v, dict) else {} for name, v in manifest.items()}
    return {".": {}} | nested if nested else {}
