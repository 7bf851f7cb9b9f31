"""Free text over what people know a VM by: its name, namespace, node, addresses and guest OS.

All words of a text are wanted, in any order and case. A word is found where a part of a value begins with it: `db-01`
and `01` in `erp-db-01`, `10.131` in an address, `worker` in a node. That is what an index of words can answer, and a
trigram index would need an extension (pg_trgm) that not every Postgres has.
"""

import re
from collections.abc import Callable, Sequence
from typing import Protocol

LONGEST_WORD = 400
LONGEST_TEXT = 20_000
"""Characters; both as in `text_words` of the schema."""

_SEPARATORS = re.compile(r"[-._:/(), ]+")
"""Those of `text_words`."""

_COLUMNS = "name, namespace, node_name, guest_os, ip, ips"


class Searchable(Protocol):
    """What is searched in a VM."""

    @property
    def name(self) -> str: ...
    @property
    def namespace(self) -> str | None: ...
    @property
    def node_name(self) -> str | None: ...
    @property
    def guest_os(self) -> str | None: ...
    @property
    def ip(self) -> str | None: ...
    @property
    def ips(self) -> Sequence[str]: ...


def condition(texts: Sequence[str], bind: Callable[[object], str], *, indexed: bool) -> str:
    """SQL of the rows of `vms` in which one of the texts is found, by index vm_words_by_word where `indexed`."""
    if indexed:
        return f"id IN (SELECT id FROM vm_words WHERE {_any_of(texts, bind, 'text', 'words')})"  # noqa: S608
    text = f"vm_text({_COLUMNS})"
    return _any_of(texts, bind, text, f"text_words({text})")


def matches(texts: Sequence[str], vm: Searchable) -> bool:
    """Whether one of the texts is found in this VM."""
    values = (vm.name, vm.namespace, vm.node_name, vm.guest_os, vm.ip, *vm.ips)
    text = " ".join(value for value in values if value is not None).lower()
    parts = _parts(text[:LONGEST_TEXT])
    return any(all(_is_in(word, text, parts) for word in wanted.lower().split()) for wanted in texts)


def _any_of(texts: Sequence[str], bind: Callable[[object], str], text: str, words: str) -> str:
    alternatives = [" AND ".join(_all_words(wanted.lower().split(), bind, text, words)) for wanted in texts]
    return f"({' OR '.join(alternatives)})"


def _all_words(wanted: list[str], bind: Callable[[object], str], text: str, words: str) -> list[str]:
    """The index tells where parts begin so, whatever is between them; the text, whether they are what was written."""
    lexemes = [lexeme for word in wanted for lexeme in _lexemes(word)]
    found = [f"{words} @@ {bind(' & '.join(lexemes))}::text::tsquery"] if lexemes else []
    return found + [f"strpos({text}, {bind(word)}) > 0" for word in wanted]


def _lexemes(word: str) -> list[str]:
    """In the language of tsquery: all parts of a word but the last are whole ones."""
    quoted = ["'" + part.replace("\\", "\\\\").replace("'", "''") + "'" for part in _parts(word)]
    return [*quoted[:-1], f"{quoted[-1]}:*"] if quoted else []


def _is_in(word: str, text: str, parts: list[str]) -> bool:
    *whole, last = _parts(word) or [""]
    return word in text and all(part in parts for part in whole) and any(part.startswith(last) for part in parts)


def _parts(text: str) -> list[str]:
    return [part[:LONGEST_WORD] for part in _SEPARATORS.split(text) if part]
