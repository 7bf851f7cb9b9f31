"""The OpenAPI document is the one that is committed, and describes every operation."""

import json
import re
from pathlib import Path

import pytest

from summit_api.openapi import document

COMMITTED = Path(__file__).parents[2] / "docs" / "openapi.json"


@pytest.fixture(scope="module")
def rendered() -> str:
    return document()


def test_committed_document_is_current(rendered: str) -> None:
    """docs/openapi.json is what `python -m summit_api.openapi` prints."""
    assert COMMITTED.read_text() == rendered, "run: python -m summit_api.openapi > docs/openapi.json"


def test_operations_are_described(rendered: str) -> None:
    """Each operation has a description and a plain id, and under /api problems for its errors."""
    for path, methods in json.loads(rendered)["paths"].items():
        for operation in methods.values():
            assert operation["description"], path
            assert re.fullmatch(r"[a-z_]+", operation["operationId"]), path
            if path.startswith("/api/"):
                for status in ("4XX", "5XX"):
                    assert list(operation["responses"][status]["content"]) == ["application/problem+json"], path
