"""YAML with positions: plain data, and the line of every value in it, so that a mistake can name its place.

`yaml.compose` gives the node graph with marks; constructing Python values from it would lose them.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

MAX_VALUES = 100_000
"""A file of a thousand clusters has a tenth of it; aliases of aliases grow without end."""

Location = tuple[str | int, ...]
"""Keys and indexes on the way to a value, as in pydantic's errors."""


class NotYamlError(Exception):
    """The text is not one YAML document; `line` counts from 1."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line


@dataclass
class Document:
    """Mappings, lists, text, numbers and None. A value of another type stays a node of the parser."""

    value: Any = None
    repeated: dict[Location, list[str]] = field(default_factory=dict)
    """Keys that a mapping has twice; `value` has the first of them."""
    _lines: dict[Location, int] = field(default_factory=lambda: {(): 1})

    def line(self, location: Location) -> int:
        """The line of a value, which is the line of its key. For a missing value, the line of the mapping around it."""
        while location not in self._lines:
            location = location[:-1]
        return self._lines[location]

    def read(self, node: yaml.Node, location: Location = ()) -> Any:
        """The plain data of a node, whose lines are noted. Raises NotYamlError if there is too much of it."""
        if len(self._lines) > MAX_VALUES:
            raise NotYamlError(1, f"it has more than {MAX_VALUES} values")
        self._lines.setdefault(location, _line(node))
        match node:
            case yaml.MappingNode():
                return dict(self._members(node, location))
            case yaml.SequenceNode():
                return [self.read(item, (*location, index)) for index, item in enumerate(node.value)]
        return _scalar(node)

    def _members(self, node: yaml.MappingNode, location: Location) -> Iterator[tuple[str, Any]]:
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else f"({key.id})"
            name = name.encode(errors="replace").decode()  # a lone surrogate, which pydantic takes for no key
            place = (*location, name)
            if place in self._lines:
                self.repeated.setdefault(location, []).append(name)
            else:
                self._lines[place] = _line(key)
                yield name, self.read(value, place)


def parse(text: str) -> Document:
    """The document, whose value is None when it is empty. Raises NotYamlError, and nothing else for any text."""
    document = Document()
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is not None:
            document.value = document.read(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise NotYamlError(mark.line + 1 if mark else 1, _reason(error)) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise NotYamlError(line, f"the character {chr(error.character)!r} is not allowed") from error
    except RecursionError as error:
        raise NotYamlError(1, "it is nested too deeply") from error
    except (ValueError, OverflowError) as error:  # an escape such as "\U00110000": PyYAML hands it to chr() unchecked
        raise NotYamlError(1, "it has an escape that is not a character") from error
    return document


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _scalar(node: yaml.Node) -> Any:
    match node.tag.removeprefix("tag:yaml.org,2002:"):
        case "str":
            return node.value
        case "null":
            return None
        case "int" | "float":
            with contextlib.suppress(ValueError):  # YAML's own spellings: .inf, 0x3b, 59:21
                return float(node.value)
    return node


def _reason(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or error.context or "it cannot be read"
    if "'\\t'" in problem:
        return "there is a tab, and YAML indents with spaces only: replace it by spaces"
    return f"{error.context}: {problem}" if error.context and error.problem else problem
