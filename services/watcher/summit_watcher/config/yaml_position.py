"""YAML with positions: each value knows the line it stands on, so that a mistake can be told with its place.

`yaml.compose` gives the node graph with marks; constructing Python values from it would lose them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import yaml

_TAG_PREFIX = "tag:yaml.org,2002:"
_KIND_BY_TAG = {"str": "text", "null": "nothing", "int": "a number", "float": "a number", "bool": "true or false"}


class NotYamlError(Exception):
    """The text is not one YAML document; `line` counts from 1."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line


@dataclass(frozen=True)
class Positioned:
    """One value of the document."""

    node: yaml.Node

    @property
    def line(self) -> int:
        return int(self.node.start_mark.line) + 1

    @property
    def kind(self) -> str:
        """What it is, in words for people: a mapping, a list, text, a number, true or false, nothing."""
        match self.node:
            case yaml.MappingNode():
                return "a mapping"
            case yaml.SequenceNode():
                return "a list"
        return _KIND_BY_TAG.get(self.node.tag.removeprefix(_TAG_PREFIX), "a value of another type")

    @property
    def scalar(self) -> str:
        """The characters of a scalar as they were written; empty for a list and a mapping."""
        return self.node.value if isinstance(self.node, yaml.ScalarNode) else ""

    def items(self) -> Iterator["Positioned"]:
        """Items of a list; none for anything else."""
        if isinstance(self.node, yaml.SequenceNode):
            yield from (Positioned(item) for item in self.node.value)

    def entries(self) -> Iterator[tuple["Positioned", "Positioned"]]:
        """Keys and values of a mapping in written order, a repeated key too; none for anything else."""
        if isinstance(self.node, yaml.MappingNode):
            yield from ((Positioned(key), Positioned(value)) for key, value in self.node.value)


def parse(text: str) -> Positioned | None:
    """The document's value, None when it is empty. Raises NotYamlError, and nothing else whatever the text."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise NotYamlError(mark.line + 1 if mark else 1, _reason(error)) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise NotYamlError(line, f"the character {chr(error.character)!r} is not allowed") from error
    except RecursionError as error:
        raise NotYamlError(1, "it is nested too deeply") from error
    except (ValueError, OverflowError) as error:  # an escape such as "\U00110000": PyYAML hands it to chr() unchecked
        raise NotYamlError(1, "it has an escape that is no character") from error
    return Positioned(node) if node is not None else None


def _reason(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or error.context or "it cannot be read"
    if "'\\t'" in problem:
        return "there is a tab, and YAML indents with spaces only: replace it by spaces"
    return f"{error.context}: {problem}" if error.context and error.problem else problem
