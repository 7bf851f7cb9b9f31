"""Label and field selectors, as LIST and WATCH take them.

Custom resources declare no selectable fields, so only metadata.name and metadata.namespace may be selected
(kubevirt crds.go); anything else is a 400, as on a real server.
"""

import re
from collections.abc import Callable, Mapping

from summit_simulator.objects.status import StatusError

LabelTest = Callable[[Mapping[str, str]], bool]

_COMMA = re.compile(r",(?![^(]*\))")  # not the commas of a set
_SET = re.compile(r"^(?P<key>\S+)\s+(?P<op>in|notin)\s*\((?P<values>[^)]*)\)$")
_EQUAL = re.compile(r"^(?P<key>[^!=\s]+)\s*(?P<op>==|=|!=)\s*(?P<value>\S*)$")


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
    """The selected fields: metadata.name, metadata.namespace. Raises StatusError 400 for any other."""
    fields: dict[str, str] = {}
    for term in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = term.replace("==", "=").partition("=")
        if name not in ("metadata.name", "metadata.namespace") or name.endswith("!"):
            raise StatusError(400, f"field label not supported: {name}")
        fields[name] = value
    return fields
