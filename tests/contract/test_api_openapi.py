"""The OpenAPI document describes every operation. (`make check` compares it with the one that is committed.)"""

import json
import re

import pytest

from summit_api.openapi import document


@pytest.fixture(scope="module")
def rendered() -> str:
    return document()


def test_operations_are_described(rendered: str) -> None:
    """Each operation has a description and a plain id, and under /api problems for its errors."""
    for path, methods in json.loads(rendered)["paths"].items():
        for operation in methods.values():
            assert operation["description"], path
            assert re.fullmatch(r"[a-z_]+", operation["operationId"]), path
            if path.startswith("/api/"):
                for status in ("4XX", "5XX"):
                    assert list(operation["responses"][status]["content"]) == ["application/problem+json"], path
