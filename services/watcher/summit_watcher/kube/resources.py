"""The watched resources: their paths, and how their pages and watch lines are decoded.

The fast path decodes a whole page or line into types at once. If that fails, each object is decoded alone and
leniently, so that a bad object costs its neighbours nothing. What is not an object raises an error of `errors`.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar, cast

import msgspec

from summit_models.cluster import ConnectionState
from summit_watcher.kube.bounds import (
    LIST_OBJECTS,
    PAGE_VALUES,
    UNREADABLE_SECONDS,
    ContinueToken,
    ResourceVersion,
    one_line,
)
from summit_watcher.kube.errors import UNREADABLE, OversizedError, UndecodableLine
from summit_watcher.kube.failure import status_error
from summit_watcher.kube.lenient_decode import decode_leniently
from summit_watcher.kube.manifests.datavolume import DataVolume
from summit_watcher.kube.manifests.instance import VirtualMachineInstance
from summit_watcher.kube.manifests.instancetype import Instancetype
from summit_watcher.kube.manifests.metadata import Manifest, Part
from summit_watcher.kube.manifests.migration import VirtualMachineInstanceMigration
from summit_watcher.kube.manifests.virtualmachine import VirtualMachine

T = TypeVar("T", bound=Manifest)

EventType = Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
_CHANGES = frozenset({"ADDED", "MODIFIED", "DELETED"})


class Page(msgspec.Struct, Generic[T], frozen=True, gc=False):
    """One page of a list. A list with `undecodable` items is not complete, and must not delete anything."""

    items: list[T]
    resource_version: str
    continue_token: str | None = None
    undecodable: int = 0


class WatchEvent(msgspec.Struct, Generic[T], frozen=True, gc=False):
    """One line of a watch. A BOOKMARK has no object."""

    type: EventType
    object: T | None
    resource_version: str
    initial_events_end: bool = False
    """The bookmark that ends the initial events of a streaming list (`sendInitialEvents=true`)."""


class _Count:
    """Counts the objects of one page while it is decoded: bytes that fit a page may be millions of empty objects."""

    def __init__(self, plural: str) -> None:
        self.plural = plural
        self.objects = 0

    def add(self, item: Manifest) -> None:
        """Raises OversizedError beyond LIST_OBJECTS, and ValueError for an object without a uid."""
        self.objects += 1
        if self.objects > LIST_OBJECTS:
            raise OversizedError(f"a page of {self.plural} has more than {LIST_OBJECTS} objects")
        if not item.metadata.uid:
            raise ValueError("it has no uid")


class _ListMetadata(Part):
    resource_version: ResourceVersion | None = None
    continue_: ContinueToken | None = msgspec.field(default=None, name="continue")


class _List(Part, Generic[T]):
    kind: str | None = None
    metadata: _ListMetadata = msgspec.field(default_factory=_ListMetadata)
    items: list[T] | None = None


class _RawList(Part):
    kind: str | None = None
    metadata: _ListMetadata = msgspec.field(default_factory=_ListMetadata)
    items: list[msgspec.Raw] | None = None


class _Event(Part, Generic[T]):
    type: str
    object: T


class _RawEvent(Part):
    type: str
    object: msgspec.Raw


_raw_list = msgspec.json.Decoder(_RawList)
_raw_event = msgspec.json.Decoder(_RawEvent)


@dataclass(frozen=True)
class Resource(Generic[T]):
    """A watched resource: names, path, and its typed decoders."""

    path: str
    kind: str
    manifest: type[T]
    optional_in: frozenset[ConnectionState] = frozenset()
    """States of its list-watch that are no defect: the cluster is synced without it, and the log does not complain."""
    _count: _Count = field(init=False, repr=False, compare=False)
    _pages: msgspec.json.Decoder[_List[T]] = field(init=False, repr=False, compare=False)
    _items: msgspec.json.Decoder[T] = field(init=False, repr=False, compare=False)
    _events: msgspec.json.Decoder[_Event[T]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        count = _Count(self.plural)
        # Decoding is where they must be counted: afterwards they fill the memory.
        counted = msgspec.defstruct(
            self.kind, (), bases=(self.manifest,), namespace={"__post_init__": count.add}, gc=False
        )
        page, event = _List[counted], _Event[self.manifest]  # type: ignore[valid-type,name-defined]
        object.__setattr__(self, "_count", count)
        object.__setattr__(self, "_pages", msgspec.json.Decoder(page))
        object.__setattr__(self, "_items", msgspec.json.Decoder(self.manifest))
        object.__setattr__(self, "_events", msgspec.json.Decoder(event))

    @property
    def group(self) -> str:
        """API group, for example "kubevirt.io"."""
        return self.path.split("/")[2]

    @property
    def plural(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def _list_kind(self) -> str:
        return f"{self.kind}List"

    def decode_page(self, body: bytes) -> Page[T]:
        """Decode one page of a list.

        Leaves out an item without a readable uid, and counts it. Raises StatusError if the body is a Status, and
        UndecodableLine if it is not a list of this kind with its items, or has no resourceVersion: an answer without
        items would delete everything. Raises OversizedError if it has more objects than any cluster.
        """
        self._count.objects = 0
        try:
            page = self._pages.decode(body)
        except (msgspec.ValidationError, UnicodeDecodeError):
            return self._decode_items(body)
        except UNREADABLE as error:
            raise UndecodableLine(f"a page of {self.plural} is not JSON: {error}", body) from None
        found = page.items
        if page.kind != self._list_kind or page.metadata.resource_version is None or found is None:
            return self._decode_items(body)
        return Page(found, page.metadata.resource_version, page.metadata.continue_ or None)

    def _decode_items(self, body: bytes) -> Page[T]:
        if body.count(b",") > PAGE_VALUES:
            raise OversizedError(f"a page of {self.plural} has more than {PAGE_VALUES} values, some of them unreadable")
        try:
            page = _raw_list.decode(body)
        except UNREADABLE as error:
            raise UndecodableLine(f"a page of {self.plural} is not a list: {error}", body) from None
        if page.kind == "Status":
            raise status_error(body)
        if page.kind != self._list_kind:
            raise UndecodableLine(f"a page of {self.plural} is of kind {one_line(str(page.kind))!r}", body)
        if page.items is None:
            raise UndecodableLine(f"a page of {self.plural} has no items", body)
        if page.metadata.resource_version is None:
            raise UndecodableLine(f"a page of {self.plural} has no metadata.resourceVersion", body)
        if len(page.items) > LIST_OBJECTS:
            raise OversizedError(f"a page of {self.plural} has more than {LIST_OBJECTS} objects")
        found = self._readable(page.items)
        undecodable = len(page.items) - len(found)
        return Page(found, page.metadata.resource_version, page.metadata.continue_ or None, undecodable)

    def decode_object(self, content: Mapping[str, Any]) -> T | None:
        """One object; None without a readable uid."""
        return next(iter(self._readable([msgspec.Raw(msgspec.json.encode(content))])), None)

    def _readable(self, items: Sequence[msgspec.Raw]) -> list[T]:
        """The objects with a uid. Those with wrong members are left out once they have taken UNREADABLE_SECONDS."""
        found, give_up_at = list[T](), time.monotonic() + UNREADABLE_SECONDS
        for raw in items:
            try:
                item: T | None = self._items.decode(raw)
            except UNREADABLE:
                is_late = time.monotonic() > give_up_at
                item = None if is_late else decode_leniently(bytes(raw), self.manifest)
            if item is not None and item.metadata.uid:
                found.append(item)
        return found

    def decode_event(self, line: bytes) -> WatchEvent[T]:
        r"""Decode one line of a watch, which ends with "\n".

        Raises StatusError for an ERROR event, and UndecodableLine for a line that is cut, is not JSON, has an unknown
        type, or whose object has no uid or resourceVersion.
        """
        if not line.endswith(b"\n"):
            raise UndecodableLine("a watch line is cut", line)
        try:
            event = self._events.decode(line)
        except msgspec.ValidationError:
            event = self._decode_leniently(line)
        except UNREADABLE as error:
            raise UndecodableLine(f"a watch line is not JSON: {error}", line) from None
        if event.type == "ERROR":
            raise status_error(bytes(_raw_event.decode(line).object))
        return _watch_event(event, line)

    def _decode_leniently(self, line: bytes) -> _Event[T]:
        try:
            raw = _raw_event.decode(line)
        except UNREADABLE as error:
            raise UndecodableLine(f"a watch line is not an event: {error}", line) from None
        if raw.type == "ERROR":
            raise status_error(bytes(raw.object))
        manifest = decode_leniently(bytes(raw.object), self.manifest)
        if manifest is None:
            raise UndecodableLine("the object of a watch line is unreadable", line)
        return _Event(raw.type, manifest)


def _watch_event(event: _Event[T], line: bytes) -> WatchEvent[T]:
    metadata = event.object.metadata
    if not metadata.resource_version:
        raise UndecodableLine("the object of a watch line has no metadata.resourceVersion", line)
    if event.type == "BOOKMARK":
        end = metadata.annotations is not None and metadata.annotations.initial_events_end == "true"
        return WatchEvent("BOOKMARK", None, metadata.resource_version, end)
    if event.type not in _CHANGES:
        raise UndecodableLine(f"unknown watch event type {event.type[:20]!r}", line)
    if not metadata.uid:
        raise UndecodableLine("the object of a watch line has no metadata.uid", line)
    return WatchEvent(cast(EventType, event.type), event.object, metadata.resource_version)


VIRTUAL_MACHINES = Resource("/apis/kubevirt.io/v1/virtualmachines", "VirtualMachine", VirtualMachine)
VIRTUAL_MACHINE_INSTANCES = Resource(
    "/apis/kubevirt.io/v1/virtualmachineinstances", "VirtualMachineInstance", VirtualMachineInstance
)
MIGRATIONS = Resource(
    "/apis/kubevirt.io/v1/virtualmachineinstancemigrations",
    "VirtualMachineInstanceMigration",
    VirtualMachineInstanceMigration,
)
_UNKNOWN_TO_OLD_SERVERS = frozenset({ConnectionState.CRD_MISSING})
INSTANCETYPES = Resource(
    "/apis/instancetype.kubevirt.io/v1beta1/virtualmachineinstancetypes",
    "VirtualMachineInstancetype",
    Instancetype,
    _UNKNOWN_TO_OLD_SERVERS,
)
CLUSTER_INSTANCETYPES = Resource(
    "/apis/instancetype.kubevirt.io/v1beta1/virtualmachineclusterinstancetypes",
    "VirtualMachineClusterInstancetype",
    Instancetype,
    _UNKNOWN_TO_OLD_SERVERS,
)
DATA_VOLUMES = Resource(
    "/apis/cdi.kubevirt.io/v1beta1/datavolumes",
    "DataVolume",
    DataVolume,
    frozenset({ConnectionState.CRD_MISSING, ConnectionState.FORBIDDEN}),  # only the progress of imports is lost
)
WATCHED = (
    VIRTUAL_MACHINES,
    VIRTUAL_MACHINE_INSTANCES,
    MIGRATIONS,
    INSTANCETYPES,
    CLUSTER_INSTANCETYPES,
    DATA_VOLUMES,
)
