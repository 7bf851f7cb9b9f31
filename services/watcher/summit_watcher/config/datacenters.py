"""`datacenters.yaml`: which datacenters there are, and how to reach their clusters.

A broken entry is left out and told, the rest is used: a typing error in one place must not blind all the others.
Whether the kubeconfigs exist is no matter of this file: they come and go, and the watcher tries again.
"""

import difflib
import math
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from summit_models.contract import ClusterName, DatacenterId
from summit_watcher.config.yaml_position import NotYamlError, Positioned, parse

EXAMPLE = "config/datacenters.example.yaml"

# Ids and names become tokens of NATS subjects and labels of metrics. 63: a DNS label, as Kubernetes names clusters.
_IDENTIFIER = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
IDENTIFIER_RULE = "use lower-case letters, digits and '-' inside, 63 at most"

_TOP_KEYS = ("datacenters",)
_DATACENTER_KEYS = ("id", "name", "location", "coordinates", "clusters")
_CLUSTER_KEYS = ("name", "kubeconfig", "context", "identity")


@dataclass(frozen=True)
class ClusterConfig:
    """One cluster. Equal when it would be watched alike: `line` only tells where it was declared."""

    name: ClusterName
    datacenter: DatacenterId
    kubeconfig: Path
    context: str | None = None
    identity: str | None = None
    """The only cluster that may answer; None: the one that answered first."""
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
    """What is wrong at which place, and what to do about it."""

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
    """Read the file. Never raises: what is wrong with it is in `mistakes`, what is right in `datacenters`."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
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
    reader = _Reader(path)
    try:
        document = parse(text)
    except NotYamlError as error:
        reader.mistake(error.line, f"this is not YAML: {error}")
        return Configuration(mistakes=tuple(reader.mistakes))
    if document is None:
        reader.mistake(1, f"the file is empty: declare 'datacenters', {EXAMPLE} shows how")
        return Configuration(mistakes=tuple(reader.mistakes))
    datacenters = tuple(reader.datacenters(document))
    return Configuration(datacenters, tuple(sorted(reader.mistakes, key=lambda mistake: mistake.line)))


def is_identifier(text: str) -> bool:
    """Whether it may be the id of a datacenter or the name of a cluster."""
    return bool(_IDENTIFIER.fullmatch(text))


def readable_by_others(kubeconfig: Path) -> str | None:
    """A warning when someone else on this machine may read the credentials in the file, None when not or no file."""
    try:
        mode = kubeconfig.stat().st_mode
    except OSError:
        return None
    if not mode & (stat.S_IRGRP | stat.S_IROTH):
        return None
    whose = "everyone on this machine" if mode & stat.S_IROTH else "its group"
    return f"kubeconfig {kubeconfig} is readable by {whose}: run chmod 600 {kubeconfig}"


class _Reader:
    """Reads one document, collecting mistakes and the names that are taken."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.mistakes: list[Mistake] = []
        self._datacenter_lines: dict[str, int] = {}
        self._cluster_lines: dict[str, int] = {}

    def mistake(self, line: int, text: str) -> None:
        self.mistakes.append(Mistake(self.path, line, text))

    def datacenters(self, document: Positioned) -> list[DatacenterConfig]:
        if document.kind != "a mapping":
            self.mistake(document.line, f"the file holds {document.kind}: begin with the key 'datacenters'")
            return []
        fields = self._fields(document, _TOP_KEYS, required=_TOP_KEYS, of="the file")
        found = [self._datacenter(item) for item in self._list(fields.get("datacenters"), "datacenters")]
        return [datacenter for datacenter in found if datacenter]

    def _datacenter(self, item: Positioned) -> DatacenterConfig | None:
        if item.kind != "a mapping":
            self.mistake(item.line, f"a datacenter is {item.kind}: write '- id: …' and its other keys below it")
            return None
        label = _label("datacenter", item, "id")
        fields = self._fields(item, _DATACENTER_KEYS, required=("id",), of=label)
        name = self._identifier(fields.get("id"), "id", "datacenter", self._datacenter_lines)
        if name is None:
            return None
        datacenter = DatacenterId(name)
        return DatacenterConfig(
            id=datacenter,
            name=self._text(fields.get("name"), f"'name' of {label}") or name,
            location=self._text(fields.get("location"), f"'location' of {label}"),
            coordinates=self._coordinates(fields.get("coordinates"), label),
            clusters=tuple(self._clusters(fields.get("clusters"), datacenter)),
            line=item.line,
        )

    def _clusters(self, value: Positioned | None, datacenter: DatacenterId) -> list[ClusterConfig]:
        items = self._list(value, f"'clusters' of datacenter {datacenter!r}")
        return [cluster for item in items if (cluster := self._cluster(item, datacenter))]

    def _cluster(self, item: Positioned, datacenter: DatacenterId) -> ClusterConfig | None:
        if item.kind != "a mapping":
            self.mistake(item.line, f"a cluster is {item.kind}: write '- name: …' and 'kubeconfig: …' below it")
            return None
        older_name, body = _older_form(item)
        label = f"cluster {older_name.scalar!r}" if older_name else _label("cluster", item, "name")
        keys = _CLUSTER_KEYS[1:] if older_name else _CLUSTER_KEYS
        required = tuple(key for key in keys if key in ("name", "kubeconfig"))
        fields = self._fields(body, keys, required=required, of=label, ignoring=older_name)
        name = self._identifier(older_name or fields.get("name"), "name", "cluster", self._cluster_lines)
        kubeconfig = self._kubeconfig(fields.get("kubeconfig"), label)
        if name is None or kubeconfig is None:
            return None
        context = self._text(fields.get("context"), f"'context' of {label}")
        identity = self._text(fields.get("identity"), f"'identity' of {label}")
        return ClusterConfig(ClusterName(name), datacenter, kubeconfig, context, identity, item.line)

    def _fields(
        self,
        mapping: Positioned,
        known: Sequence[str],
        *,
        required: Sequence[str],
        of: str,
        ignoring: Positioned | None = None,
    ) -> dict[str, Positioned]:
        """Values by known key. Tells unknown, repeated and missing keys; a misspelt key is not missing as well."""
        fields: dict[str, Positioned] = {}
        meant: set[str] = set()
        for key, value in mapping.entries():
            if key == ignoring:
                continue
            if key.scalar in fields:
                self.mistake(key.line, f"{key.scalar!r} of {of} is given twice: keep one, the first is used")
            elif key.scalar in known:
                fields[key.scalar] = value
            else:
                meant |= self._unknown_key(key, known, of)
        for name in required:
            if name not in fields and name not in meant:
                self.mistake(mapping.line, f"{of} has no {name!r}: add it")
        return fields

    def _unknown_key(self, key: Positioned, known: Sequence[str], of: str) -> set[str]:
        nearest = difflib.get_close_matches(key.scalar.lower(), known, n=1)
        advice = f"did you mean {nearest[0]!r}?" if nearest else f"known are {', '.join(known)}"
        written = repr(key.scalar) if key.scalar else f"that is {key.kind}"
        self.mistake(key.line, f"{of} has an unknown key {written}: {advice}")
        return set(nearest)

    def _list(self, value: Positioned | None, what: str) -> list[Positioned]:
        """Items of a list; a key without a value is an empty one: everything below it may be commented out."""
        if value is None or value.kind == "nothing":
            return []
        if value.kind != "a list":
            self.mistake(value.line, f"{what} is {value.kind}, not a list: begin each entry with '- '")
        return list(value.items())

    def _text(self, value: Positioned | None, what: str) -> str | None:
        if value is None or value.kind == "nothing":
            return None
        if value.kind != "text":
            advice = "put it in quotes" if value.scalar else "write text"
            self.mistake(value.line, f"{what} is {value.kind}, not text: {advice}")
            return None
        if not value.scalar.isprintable():
            self.mistake(value.line, f"{what} has a character that cannot be printed: remove it")
            return None
        return value.scalar.strip() or None

    def _identifier(self, value: Positioned | None, key: str, owner: str, taken: dict[str, int]) -> str | None:
        """An id or name that may be part of a subject and is not taken yet."""
        if value is None:
            return None  # told as a missing key
        if value.kind == "nothing":
            self.mistake(value.line, f"{key!r} of a {owner} is empty: give it a name")
            return None
        text = self._text(value, f"{key!r} of a {owner}")
        if text is None:
            return None
        if not is_identifier(text):
            self.mistake(value.line, f"{owner} {key} {text!r} cannot be used: {IDENTIFIER_RULE}")
            return None
        if text in taken:
            first = f"{owner} {key} {text!r} is in line {taken[text]} already"
            self.mistake(value.line, f"{first}: choose another, this one is left out")
            return None
        taken[text] = value.line
        return text

    def _kubeconfig(self, value: Positioned | None, label: str) -> Path | None:
        """The path, a relative one from the directory of the file."""
        if value is None:
            return None  # told as a missing key
        text = self._text(value, f"'kubeconfig' of {label}")
        if text is None:
            if value.kind == "nothing" or (value.kind == "text" and not value.scalar.strip()):
                self.mistake(value.line, f"'kubeconfig' of {label} is empty: write the path of its kubeconfig")
            return None
        try:
            return self.path.parent / Path(text).expanduser()
        except RuntimeError:
            self.mistake(value.line, f"'kubeconfig' of {label}: there is no home directory for {text!r}: write it out")
            return None

    def _coordinates(self, value: Positioned | None, label: str) -> tuple[float, float] | None:
        if value is None or value.kind == "nothing":
            return None
        numbers = [_degrees(item) for item in value.items()]
        match numbers:
            case [float(latitude), float(longitude)]:
                if abs(latitude) <= 90 and abs(longitude) <= 180:
                    return (latitude, longitude)
                self.mistake(
                    value.line,
                    f"'coordinates' of {label} are out of range: latitude is -90 to 90, longitude -180 to 180",
                )
            case _:
                self.mistake(
                    value.line,
                    f"'coordinates' of {label} are not two numbers: write [latitude, longitude] in degrees, "
                    "for example [59.36, 18.00]",
                )
        return None


def _older_form(item: Positioned) -> tuple[Positioned | None, Positioned]:
    """The name and the keys of a cluster written `- vulcan:` with `kubeconfig:` beside or indented below the name."""
    entries = [(key, value) for key, value in item.entries() if key.scalar not in _CLUSTER_KEYS]
    if any(key.scalar == "name" for key, _ in item.entries()) or len(entries) == 0:
        return None, item
    empty = [key for key, value in entries if value.kind == "nothing"]
    if len(empty) == 1:
        return empty[0], item
    (key, value), *others = entries
    if not others and value.kind == "a mapping":
        return key, value
    return None, item


def _label(owner: str, item: Positioned, key: str) -> str:
    names = [value.scalar for name, value in item.entries() if name.scalar == key and value.scalar]
    return f"{owner} {names[0]!r}" if names else f"a {owner} without {key!r}"


def _degrees(item: Positioned) -> float | None:
    if item.kind != "a number":
        return None
    try:
        number = float(item.scalar)
    except ValueError:  # YAML's own spellings: .inf, 0x3b, 59:21
        return None
    return number if math.isfinite(number) else None
