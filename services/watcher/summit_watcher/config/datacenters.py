"""`datacenters.yaml`: which datacenters there are, and how to reach their clusters.

A broken entry is left out and reported, and the rest is used: a typing error in one place must not stop the others.
Whether the kubeconfigs exist does not matter here: they come and go, and the watcher tries again.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from summit_models.contract import ClusterName, DatacenterId
from summit_runtime.watched_files import read_limited
from summit_watcher.config.entries import (
    EXAMPLE,
    ClusterEntry,
    DatacenterEntry,
    EntryT,
    FileEntry,
    checked,
    is_identifier,
)
from summit_watcher.config.yaml_position import Document, Location, NotYamlError, parse


@dataclass(frozen=True)
class ClusterConfig:
    """One cluster. Two are equal when they would be watched alike, wherever they are declared."""

    name: ClusterName
    datacenter: DatacenterId
    kubeconfig: Path
    context: str | None = None
    identity: str | None = None
    """The only cluster that may answer. None: the one that answered first."""
    line: int = field(default=0, compare=False)


@dataclass(frozen=True)
class DatacenterConfig:
    id: DatacenterId
    name: str
    location: str | None = None
    coordinates: tuple[float, float] | None = None
    """Latitude and longitude in degrees."""
    clusters: tuple[ClusterConfig, ...] = ()
    line: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Mistake:
    """One mistake: its place, and what to do about it."""

    file: Path
    line: int
    """0: the file as a whole."""
    text: str

    def __str__(self) -> str:
        place = f"{self.file} line {self.line}" if self.line else str(self.file)
        return f"{place}: {self.text}"


@dataclass(frozen=True)
class Configuration:
    datacenters: tuple[DatacenterConfig, ...] = ()
    mistakes: tuple[Mistake, ...] = ()

    @property
    def clusters(self) -> tuple[ClusterConfig, ...]:
        return tuple(cluster for datacenter in self.datacenters for cluster in datacenter.clusters)


def load(path: Path) -> Configuration:
    """Read the file. Never raises: `datacenters` has what is right, `mistakes` what is wrong."""
    try:
        text = read_limited(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        return Configuration(mistakes=(Mistake(path, line, "this is not UTF-8: save the file as UTF-8 text"),))
    except FileNotFoundError:
        return Configuration(mistakes=(Mistake(path, 0, f"there is no such file: write one, {EXAMPLE} shows how"),))
    except OSError as error:
        return Configuration(mistakes=(Mistake(path, 0, f"the file cannot be read: {error.strerror}"),))
    return read(text, path)


def read(text: str, path: Path) -> Configuration:
    """Read the text of the file at `path`; never raises."""
    try:
        document = parse(text)
    except NotYamlError as error:
        return Configuration(mistakes=(Mistake(path, error.line, f"this is not YAML: {error}"),))
    if document.value is None:
        empty = Mistake(path, 1, f"the file is empty: declare 'datacenters', {EXAMPLE} shows how")
        return Configuration(mistakes=(empty,))
    reader = _Reader(path, document)
    datacenters = tuple(reader.datacenters())
    return Configuration(datacenters, tuple(sorted(reader.mistakes, key=lambda mistake: mistake.line)))


class _Reader:
    """Reads one document, and collects its mistakes and the names that are taken."""

    def __init__(self, path: Path, document: Document) -> None:
        self.mistakes: list[Mistake] = []
        self._path = path
        self._document = document
        self._taken: dict[tuple[str, str], Location] = {}

    def datacenters(self) -> Iterator[DatacenterConfig]:
        file = self._entry(FileEntry, self._document.value, (), "the file")
        for index, data in enumerate(file.datacenters if file else ()):
            place = ("datacenters", index)
            entry = self._entry(DatacenterEntry, data, place, _label("datacenter", data, "id"))
            if self._takes("datacenter", data, "id", place) and entry:
                yield DatacenterConfig(
                    DatacenterId(entry.id),
                    entry.name or entry.id,
                    entry.location,
                    entry.coordinates,
                    tuple(self._clusters(entry, place)),
                    self._document.line(place),
                )

    def _clusters(self, datacenter: DatacenterEntry, above: Location) -> Iterator[ClusterConfig]:
        for index, item in enumerate(datacenter.clusters):
            place = (*above, "clusters", index)
            data, body = _named_by_key(item, place)
            entry = self._entry(ClusterEntry, data, body, _label("cluster", data, "name"))
            if self._takes("cluster", data, "name", place) and entry:
                yield ClusterConfig(
                    ClusterName(entry.name),
                    DatacenterId(datacenter.id),
                    self._path.parent / entry.kubeconfig,
                    entry.context,
                    entry.identity,
                    self._document.line(place),
                )

    def _entry(self, kind: type[EntryT], data: Any, place: Location, label: str) -> EntryT | None:
        entry, mistakes = checked(kind, data, label)
        for key, sentence in mistakes.items():
            self._mistake((*place, key), sentence)
        for key in self._document.repeated.get(place, ()):
            self._mistake(place, f"{key!r} of {label} is given twice: keep one, the first is used")
        return entry

    def _takes(self, noun: str, data: Any, key: str, place: Location) -> bool:
        """Whether nothing before has the same name. A broken entry keeps its name: what it declares may be running."""
        name = data.get(key) if isinstance(data, dict) else None
        if not isinstance(name, str) or not is_identifier(name := name.strip()):
            return True
        if (first := self._taken.setdefault((noun, name), place)) == place:
            return True
        line = self._document.line(first)
        self._mistake(
            place, f"{key!r} of {noun} {name!r} is taken in line {line}: choose another; this one is left out"
        )
        return False

    def _mistake(self, place: Location, text: str) -> None:
        self.mistakes.append(Mistake(self._path, self._document.line(place), text))


def _label(noun: str, data: Any, key: str) -> str:
    """An entry for people, such as "cluster 'vulcan'"; "a cluster" if it has no name."""
    name = data.get(key) if isinstance(data, dict) else None
    return f"{noun} {name!r}" if name and isinstance(name, str) else f"a {noun}"


def _named_by_key(data: Any, place: Location) -> tuple[Any, Location]:
    """The older form of a cluster, `- vulcan:` with its keys beside or indented below the name, as the newer one."""
    unknown = [key for key in data if key not in ClusterEntry.model_fields] if isinstance(data, dict) else []
    if not unknown or "name" in data:
        return data, place
    names = [key for key in unknown if data[key] is None] or unknown
    below = {} if data[names[0]] is None else data[names[0]]
    if len(names) > 1 or not isinstance(below, dict):
        return data, place
    beside = {key: value for key, value in data.items() if key != names[0]}
    return beside | below | {"name": names[0]}, (*place, names[0]) if below else place
