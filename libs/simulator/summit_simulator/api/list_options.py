"""ListOptions: the query of LIST and WATCH, validated and read (apimachinery, pkg/apis/meta/internalversion)."""

import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from summit_simulator.api.requests import RequestInfo, is_true
from summit_simulator.objects import status
from summit_simulator.objects.status import StatusError
from summit_simulator.objects.store import Record

# Without timeoutSeconds a real server picks a random deadline of 30 to 60 minutes (--min-request-timeout 1800).
DEFAULT_TIMEOUT_SECONDS = (1800, 3600)

Query = Mapping[str, str]
LabelTest = Callable[[Mapping[str, str]], bool]

_COMMA = re.compile(r",(?![^(]*\))")  # not the commas of a set
_SET = re.compile(r"^(?P<key>\S+)\s+(?P<op>in|notin)\s*\((?P<values>[^)]*)\)$")
_EQUAL = re.compile(r"^(?P<key>[^!=\s]+)\s*(?P<op>==|=|!=)\s*(?P<value>\S*)$")


@dataclass(frozen=True, slots=True)
class Selection:
    """The objects that namespace, name and labels of a request leave."""

    namespace: str
    name: str
    labels: LabelTest | None

    def selects(self, record: Record) -> bool:
        return (
            (not self.namespace or record.namespace == self.namespace)
            and (not self.name or record.name == self.name)
            and (self.labels is None or self.labels(record.labels))
        )

    @property
    def selects_all(self) -> bool:
        """Nothing is left out, so no object needs a look."""
        return not self.namespace and not self.name and self.labels is None


@dataclass(frozen=True, slots=True)
class WatchOptions:
    selection: Selection
    revision: int | None  # None: from the present state
    bookmarks: bool
    initial_events: bool | None  # sendInitialEvents; None when not asked for
    timeout_seconds: float


def read_selection(info: RequestInfo) -> Selection:
    """Read the selectors. Raises StatusError 400."""
    fields = field_selector(info.query.get("fieldSelector", ""))
    return Selection(
        info.namespace or fields.get("metadata.namespace", ""),
        fields.get("metadata.name", info.name),
        label_selector(info.query.get("labelSelector", "")),
    )


def label_selector(text: str) -> LabelTest | None:
    """A predicate over labels, None when nothing is selected. Raises StatusError 400 if it cannot be read."""
    tests = [_requirement(term.strip()) for term in _COMMA.split(text) if term.strip()]
    if not tests:
        return None
    return lambda labels: all(test(labels) for test in tests)


def _requirement(term: str) -> LabelTest:
    if found := _SET.match(term):
        values = {value.strip() for value in found["values"].split(",")}
        return _membership(found["key"], values, wanted=found["op"] == "in")
    if found := _EQUAL.match(term):
        return _membership(found["key"], {found["value"]}, wanted=found["op"] != "!=")
    if re.fullmatch(r"!?[A-Za-z0-9./_-]+", term):
        name, wanted = term.lstrip("!"), not term.startswith("!")
        return lambda labels: (name in labels) == wanted
    raise StatusError(400, f"unable to parse requirement: found {term!r}")


def _membership(name: str, values: set[str], *, wanted: bool) -> LabelTest:
    # An absent key satisfies != and notin, as in apimachinery's labels.Requirement.Matches.
    return lambda labels: (labels.get(name) in values) == wanted


def field_selector(text: str) -> dict[str, str]:
    """The selected fields. Raises StatusError 400 for others than these two: custom resources declare none."""
    fields: dict[str, str] = {}
    for term in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = term.replace("==", "=").partition("=")
        if name not in ("metadata.name", "metadata.namespace"):
            raise StatusError(400, f"field label not supported: {name}")
        fields[name] = value
    return fields


def read_watch_options(info: RequestInfo, *, watch_list: bool) -> WatchOptions:
    """Read and validate a WATCH. Raises StatusError 400, and 422 as validateWatchOptions does."""
    query = info.query
    _raise_if_any(_mistakes_of_watch(query, watch_list=watch_list))
    revision = number(query, "resourceVersion")
    timeout = query.get("timeoutSeconds", "")
    seconds = float(timeout) if timeout.isdecimal() and int(timeout) else random.uniform(*DEFAULT_TIMEOUT_SECONDS)  # noqa: S311
    return WatchOptions(
        read_selection(info),
        revision or None,
        is_true(query.get("allowWatchBookmarks")),
        is_true(query["sendInitialEvents"]) if "sendInitialEvents" in query else None,
        seconds,
    )


def check_list_options(query: Query) -> None:
    """Validate a LIST. Raises StatusError 422, and 400 for a continue token with a resourceVersion."""
    _raise_if_any(_mistakes_of_list(query))
    if query.get("continue") and query.get("resourceVersion") not in (None, "", "0"):
        raise StatusError(400, "specifying resource version is not allowed when using continue")


def number(query: Query, name: str) -> int:
    """A number of the query, 0 without one. Raises StatusError 400."""
    text = query.get(name) or "0"
    if not text.isdecimal():
        raise StatusError(400, f"Invalid value: {text!r}: strconv.ParseUint: parsing {text!r}: invalid syntax")
    return int(text)


def _mistakes_of_list(query: Query) -> Iterator[tuple[str, str]]:
    match = query.get("resourceVersionMatch", "")
    if match and not query.get("resourceVersion"):
        yield "resourceVersionMatch", "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"
    if match and query.get("continue"):
        yield "resourceVersionMatch", "Forbidden: resourceVersionMatch is forbidden when continue is provided"
    if "sendInitialEvents" in query:
        yield "sendInitialEvents", "Forbidden: sendInitialEvents is forbidden for list"


def _mistakes_of_watch(query: Query, *, watch_list: bool) -> Iterator[tuple[str, str]]:
    match = query.get("resourceVersionMatch", "")
    if "sendInitialEvents" not in query:
        if match:
            why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
            yield "resourceVersionMatch", f"Forbidden: {why}"
        return
    if match != "NotOlderThan":
        why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        yield "resourceVersionMatch", f"Forbidden: {why}"
    if not watch_list:
        why = "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"
        yield "sendInitialEvents", f"Forbidden: {why}"


def _raise_if_any(mistakes: Iterator[tuple[str, str]]) -> None:
    if causes := [(path, "FieldValueForbidden", message) for path, message in mistakes]:
        raise status.invalid("ListOptions", "meta.k8s.io", "", causes)
