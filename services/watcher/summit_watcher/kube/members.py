"""Members of answers that no manifest models: reviews, API groups, and objects that are read once before a request."""

from collections.abc import Mapping
from typing import Any


def member(document: Any, *names: str) -> Any:
    """A nested member; None where one is missing, since servers of all versions answer here."""
    for name in names:
        document = document.get(name) if isinstance(document, Mapping) else None
    return document
