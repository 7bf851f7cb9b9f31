"""The text of a kubeconfig as a document: JSON or YAML, in UTF-8 or UTF-16, read as Go reads it.

Scalars stay texts: YAML 1.1 takes an unquoted `12:30:45` for a number, `no` for False and a day for a date, where a
kubeconfig has names and tokens. A file that many clusters share is parsed once.
"""

from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar

import msgspec
import yaml

from summit_watcher.kube.bounds import FILE_DEPTH
from summit_watcher.kube.errors import UNREADABLE, KubeconfigError

_NULL = "tag:yaml.org,2002:null"
_MERGE = "tag:yaml.org,2002:merge"
_TEXT = "tag:yaml.org,2002:str"

_Fastest: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's is ten times as fast; wheels of PyYAML have it."""


class PlainText(str):
    """A scalar that was not quoted."""

    __slots__ = ()


class _Loader(_Fastest):  # type: ignore[misc]
    yaml_implicit_resolvers: ClassVar[dict[str, list[Any]]] = {
        first: [(tag, form) for tag, form in resolvers if tag in (_NULL, _MERGE)]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, *, deep: bool = False) -> dict[Any, Any]:
        return {text(key): value for key, value in super().construct_mapping(node, deep=deep).items()}


def _scalar(loader: Any, node: yaml.ScalarNode) -> str:
    value = loader.construct_scalar(node)
    return value if node.style else PlainText(value)


_Loader.add_constructor(_TEXT, _scalar)


class _Parsed:
    """The last documents by the digest of their content. Threads that need the same one wait for the first."""

    MOST = 4
    """Installations have one large file, or many small ones."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._documents: dict[bytes, Any] = {}

    def get(self, content: bytes) -> Any:
        digest = blake2b(content).digest()
        with self._lock:
            if digest not in self._documents:
                self._documents[digest] = _parsed(content)
                while len(self._documents) > self.MOST:
                    del self._documents[next(iter(self._documents))]
            return self._documents[digest]


_parsed_documents = _Parsed()


def document_of(content: bytes, path: Path) -> Any:
    """The first document of a file; nobody may change it. Raises KubeconfigError with one sentence."""
    try:
        document = _parsed_documents.get(content)
    except yaml.reader.ReaderError:
        raise KubeconfigError(f"kubeconfig {path} is not a text file") from None
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise KubeconfigError(f"kubeconfig {path}{line} is not YAML: {error.problem}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise KubeconfigError(f"kubeconfig {path} is not YAML: {error}") from error
    if document is None:
        raise KubeconfigError(f"kubeconfig {path} is empty")
    return document


def _parsed(content: bytes) -> Any:
    if content.lstrip().startswith(b"{"):  # kubectl reads it as JSON, where tabs are blanks
        try:
            return msgspec.json.decode(content)
        except UNREADABLE:
            pass
    _check_depth(yaml.parse(content, Loader=_Loader))
    return next(iter(yaml.load_all(content, Loader=_Loader)), None)


def _check_depth(events: Iterator[Any]) -> None:
    """Raise ValueError for a document that is nested too deep: libyaml would overflow the stack and end the process."""
    depth = 0
    for event in events:
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.DocumentEndEvent):
            return
        if depth > FILE_DEPTH:
            raise ValueError(f"it is nested deeper than {FILE_DEPTH} levels")


def flag(scalar: Any) -> Any:
    """The boolean that an unquoted scalar stands for: YAML has more words for true than JSON."""
    return yaml.SafeLoader.bool_values.get(scalar.lower(), scalar) if isinstance(scalar, PlainText) else scalar


def text(scalar: Any) -> Any:
    return str(scalar) if isinstance(scalar, PlainText) else scalar


def typed(scalar: Any) -> Any:
    """The number or boolean that an unquoted scalar looks like, as in the content of an extension."""
    return yaml.safe_load(scalar) if isinstance(scalar, PlainText) else scalar
