"""The entries of `datacenters.yaml` as people write them, and a sentence for each mistake in them."""

import difflib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

EXAMPLE = "config/datacenters.example.yaml"

# Ids and names become tokens of NATS subjects and labels of metrics. 63: a DNS label, as Kubernetes names clusters.
_IDENTIFIER = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
IDENTIFIER_RULE = "use lower-case letters, digits and '-' inside, 63 at most"


def is_identifier(text: str) -> bool:
    """Whether it may be the id of a datacenter or the name of a cluster."""
    return bool(_IDENTIFIER.fullmatch(text))


# Each raises the end of a sentence that begins with the key and the entry.


def _text(text: str | None) -> str | None:
    if text and not text.isprintable():
        raise ValueError("has a character that cannot be printed: remove it")
    return text.strip() or None if text else None


def _given(value: Any) -> Any:
    if value is None or (isinstance(value, str) and not value.strip()):
        raise ValueError("is empty: give it a value")
    return value


def _identifier(text: str) -> str:
    if not is_identifier(text):
        raise ValueError(f"cannot be used: {IDENTIFIER_RULE}")
    return text


def _path(text: str) -> str:
    try:
        return str(Path(text).expanduser())
    except RuntimeError:
        raise ValueError(f"names a home directory that does not exist, {text!r}: write it out") from None


def _degrees(value: Any) -> Any:
    match value:
        case None:
            return None
        case [float(latitude), float(longitude)] if math.isfinite(latitude) and math.isfinite(longitude):
            if abs(latitude) > 90 or abs(longitude) > 180:
                raise ValueError("are out of range: latitude is -90 to 90, longitude -180 to 180")
            return latitude, longitude
    raise ValueError("are not two numbers: write [latitude, longitude] in degrees, for example [59.36, 18.00]")


Text = Annotated[str | None, AfterValidator(_text)]
Required = Annotated[str, BeforeValidator(_given), AfterValidator(_text)]
Identifier = Annotated[Required, AfterValidator(_identifier)]
Items = Annotated[list[Any], BeforeValidator(lambda value: [] if value is None else value)]
"""A key without a value is an empty list: everything below it may be commented out."""


class Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FileEntry(Entry):
    datacenters: Items


class DatacenterEntry(Entry):
    id: Identifier
    name: Text = None
    location: Text = None
    coordinates: Annotated[tuple[float, float] | None, BeforeValidator(_degrees)] = None
    clusters: Items = []


class ClusterEntry(Entry):
    name: Identifier
    kubeconfig: Annotated[Required, AfterValidator(_path)]
    context: Text = None
    identity: Text = None


EntryT = TypeVar("EntryT", bound=Entry)
Mistakes = Mapping[str, str]
"""A sentence by the key that it is about; "": the entry as a whole."""


def checked(kind: type[EntryT], data: Any, label: str) -> tuple[EntryT | None, Mistakes]:
    """The entry and its mistakes. A mistake in a required key costs the entry, any other one costs that key alone."""
    try:
        return kind.model_validate(data), {}
    except ValidationError as error:
        errors = error.errors()
    wrong = {_key(error) for error in errors}
    required = {"", *(name for name, field in kind.model_fields.items() if field.is_required())}
    left = {} if wrong & required else {key: value for key, value in data.items() if key not in wrong}
    return kind.model_validate(left) if left else None, dict(_sentences(errors, kind, label))


def _key(error: ErrorDetails) -> str:
    return str(error["loc"][0]) if error["loc"] else ""


def _sentences(errors: Sequence[ErrorDetails], kind: type[Entry], label: str) -> Iterator[tuple[str, str]]:
    """A sentence for each error, by its key. A key that is misspelt is not missing as well."""
    unknown = [_key(error) for error in errors if error["type"] == "extra_forbidden"]
    known = list(kind.model_fields)
    meant = {key: difflib.get_close_matches(key.lower(), known, n=1) for key in unknown}
    for error in errors:
        key = _key(error)
        match error["type"]:
            case "model_type":
                yield key, f"{label} is not a mapping: write it as {EXAMPLE} shows"
            case "extra_forbidden":
                advice = f"did you mean {meant[key][0]!r}?" if meant[key] else f"known are {', '.join(known)}"
                yield key, f"{label} has an unknown key {key!r}: {advice}"
            case "missing":
                if [key] not in meant.values():
                    yield key, f"{label} has no {key!r}: add it"
            case "string_type":
                yield key, f"{key!r} of {label} is not text: put it in quotes"
            case "list_type":
                yield key, f"{key!r} of {label} is not a list: begin each entry with '- '"
            case _:
                yield key, f"{key!r} of {label} {error['ctx']['error']}"
