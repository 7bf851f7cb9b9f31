"""Free text over what people know a VM by: its name, namespace, node, addresses and guest OS.

A VM matches a text when it has all of its words, in any order and case. A word is found where a part of a value begins
with it: `db-01` and `01` in `erp-db-01`, `10.131` in an address, `worker` in a node. An index of words can answer that.
A trigram index would need an extension (pg_trgm) that not every Postgres has.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from summit_api.query.transaction.arguments import Bind
from summit_models.vm import Vm

LONGEST_WORD = 400
LONGEST_TEXT = 20_000
"""Characters; both as in `text_words` of the schema."""

_SEPARATORS = re.compile(r"[-._:/(), ]+")
"""Those of `text_words`."""

_COLUMNS = ("name", "namespace", "node_name", "guest_os", "ip", "ips")
_MEMBERS = [Vm.model_fields[column].alias or column for column in _COLUMNS]


def condition(texts: Sequence[str], bind: Bind) -> str:
    """SQL of the rows in which one of the texts is found."""
    text = f"vm_text({', '.join(_COLUMNS)})"
    return _any_of(texts, bind, text, f"text_words({text})")


def indexed_condition(texts: Sequence[str], bind: Bind) -> str:
    """The same for rows of `vms`, by index vm_words_by_word."""
    return f"(id, shown_by) IN (SELECT id, shown_by FROM vm_words WHERE {_any_of(texts, bind, 'text', 'words')})"  # noqa: S608


def matches(texts: Sequence[str], vm: Mapping[str, Any]) -> bool:
    """Whether one of the texts is found in this state of a VM."""
    values = (vm.get(member) for member in _MEMBERS)
    text = " ".join(" ".join(value) if isinstance(value, list) else value for value in values if value).lower()
    parts = _parts(text[:LONGEST_TEXT])
    return any(all(_is_in(word, text, parts) for word in wanted.lower().split()) for wanted in texts)


def _any_of(texts: Sequence[str], bind: Bind, text: str, words: str) -> str:
    alternatives = [" AND ".join(_all_words(wanted.lower().split(), bind, text, words)) for wanted in texts]
    return f"({' OR '.join(alternatives)})"


def _all_words(wanted: list[str], bind: Bind, text: str, words: str) -> list[str]:
    """The index finds where parts begin like that, whatever is between them. The text decides what is between them."""
    lexemes = [lexeme for word in wanted for lexeme in _lexemes(word)]
    found = [f"{words} @@ {bind(' & '.join(lexemes))}::text::tsquery"] if lexemes else []
    return found + [f"strpos({text}, {bind(word)}) > 0" for word in wanted]


def _lexemes(word: str) -> list[str]:
    """As a tsquery: all parts of a word but the last are whole parts of the value."""
    quoted = ["'" + part.replace("\\", "\\\\").replace("'", "''") + "'" for part in _parts(word)]
    return [*quoted[:-1], f"{quoted[-1]}:*"] if quoted else []


def _is_in(word: str, text: str, parts: list[str]) -> bool:
    *whole, last = _parts(word) or [""]
    return word in text and all(part in parts for part in whole) and any(part.startswith(last) for part in parts)


def _parts(text: str) -> list[str]:
    return [part[:LONGEST_WORD] for part in _SEPARATORS.split(text) if part]
