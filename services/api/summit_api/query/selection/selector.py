"""Label selectors as kubectl writes them: `app=web,tier!=db,env in (prod,test),!legacy`.

Each selects twice, in SQL and of one VM's labels. As in Kubernetes, `!=` and `notin` also select VMs without the label.
Grammar: Kubernetes apimachinery, pkg/labels, Parse; without its comparisons of numbers.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

from summit_api.query.transaction.arguments import Bind, one_of

LONGEST_TERM = 400
"""Characters of a label that the index has, as in `label_terms` of the schema; Kubernetes' own have 381 at most."""


class SelectorError(ValueError):
    """The text is not a selector; the sentence says where."""


@dataclass(frozen=True)
class Requirement:
    key: str
    operator: Literal["in", "notin", "exists", "absent"]
    values: tuple[str, ...] = ()

    @property
    def is_positive(self) -> bool:
        """Whether only VMs that have the label can meet it: then the index of labels finds them."""
        return self.operator in ("in", "exists")

    def terms(self) -> list[str]:
        """Entries of that index: a VM that meets the requirement has one of them."""
        terms = [f"{self.key}={value}" for value in self.values] or [self.key]
        return [term[:LONGEST_TERM] for term in terms]

    def condition(self, bind: Bind) -> str:
        """SQL over the column `labels`."""
        key = bind(self.key)
        match self.operator:
            case "exists":
                return f"labels ? {key}"
            case "absent":
                return f"NOT labels ? {key}"
        found = one_of(f"labels ->> {key}", self.values, bind)
        return found if self.operator == "in" else f"coalesce(NOT {found}, TRUE)"

    def matches(self, labels: Mapping[str, str]) -> bool:
        match self.operator:
            case "exists":
                return self.key in labels
            case "absent":
                return self.key not in labels
            case "in":
                return labels.get(self.key) in self.values
            case "notin":
                return labels.get(self.key) not in self.values


Selector = tuple[Requirement, ...]
"""All of them are required."""


def condition(selectors: Sequence[Selector], bind: Bind) -> str:
    """SQL over the column `labels` of the rows that meet one of the selectors."""
    return _any(_all(requirement.condition(bind) for requirement in selector) for selector in selectors)


def indexed_condition(selectors: Sequence[Selector], bind: Bind) -> str:
    """The same for rows of `vms`: by index vm_labels_by_label where each selector requires some label to be there."""
    if not all(any(r.is_positive for r in selector) for selector in selectors):
        return condition(selectors, bind)
    terms = _any(_all(f"labels && {bind(r.terms())}::text[]" for r in s if r.is_positive) for s in selectors)
    found = f"(id, shown_by) IN (SELECT id, shown_by FROM vm_labels WHERE {terms})"  # noqa: S608  placeholders only
    if all(r.is_positive for selector in selectors for r in selector):
        return found
    return f"{found} AND {condition(selectors, bind)}"


def matches(selectors: Sequence[Selector], labels: Mapping[str, str]) -> bool:
    """Whether these labels meet one of the selectors."""
    return any(all(requirement.matches(labels) for requirement in selector) for selector in selectors)


def _all(conditions: Iterator[str]) -> str:
    return " AND ".join(conditions)


def _any(alternatives: Iterator[str]) -> str:
    return f"({' OR '.join(f'({alternative})' for alternative in alternatives)})"


class _Token(NamedTuple):
    text: str
    position: int
    """The place of its first character, from 1."""


_TOKEN = re.compile(r"\s*(==|!=|[=!(),]|[^\s=!(),<>]+)")


@lru_cache(maxsize=1000)
def parse(text: str) -> Selector:
    """Read a selector. Raises SelectorError with a sentence that names what is wrong and the position of it."""
    return _Parser(text).selector()


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._next = 0

    def selector(self) -> Selector:
        requirements = [self._requirement()]
        while self._take(","):
            requirements.append(self._requirement())
        if self._token.text:
            raise self._expected("',' or the end")
        return tuple(requirements)

    def _requirement(self) -> Requirement:
        if self._take("!"):
            return Requirement(self._word("a label"), "absent")
        key = self._word("a label or '!'")
        if self._take("=") or self._take("=="):
            return Requirement(key, "in", (self._value(),))
        if self._take("!="):
            return Requirement(key, "notin", (self._value(),))
        if self._take("in"):
            return Requirement(key, "in", self._values())
        if self._take("notin"):
            return Requirement(key, "notin", self._values())
        if self._token.text not in ("", ","):
            raise self._expected("'=', '!=', 'in', 'notin', ',' or the end")
        return Requirement(key, "exists")

    def _values(self) -> tuple[str, ...]:
        if not self._take("("):
            raise self._expected("'('")
        values = [self._value()]
        while self._take(","):
            values.append(self._value())
        if not self._take(")"):
            raise self._expected("',' or ')'")
        return tuple(values)

    def _value(self) -> str:
        """A value may be empty: then another token follows, or the end."""
        return self._word("a value") if self._token.text not in ("", ",", ")") else ""

    def _word(self, wanted: str) -> str:
        token = self._token
        if not token.text or token.text in ("==", "!=", *"=!(),"):
            raise self._expected(wanted)
        self._next += 1
        return token.text

    def _take(self, text: str) -> bool:
        if self._token.text != text:
            return False
        self._next += 1
        return True

    @property
    def _token(self) -> _Token:
        return self._tokens[self._next]

    def _expected(self, wanted: str) -> SelectorError:
        token = self._token
        found = repr(token.text) if token.text else "the end"
        return SelectorError(f"at character {token.position}: {found} where {wanted} is expected")


def _tokens(text: str) -> Iterator[_Token]:
    """The tokens, and an empty one at the end."""
    end, position = len(text.rstrip()), 0
    while position < end:
        found = _TOKEN.match(text, position)
        if found is None:
            position += len(text[position:]) - len(text[position:].lstrip())
            raise SelectorError(f"at character {position + 1}: {text[position]!r} cannot be part of a selector")
        yield _Token(found[1], found.start(1) + 1)
        position = found.end()
    yield _Token("", end + 1)
