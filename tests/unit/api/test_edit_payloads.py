"""Bodies of edits: which are rejected, and that the error names the field."""

import asyncio
from typing import Any

import pytest
from fastapi import Request

from summit_api.edits.payloads import DatacenterPatch, NewVm, VmPatch
from summit_api.problems import ProblemError
from summit_api.requests.edit import FORM, PayloadT, read


def sent(model: type[PayloadT], body: bytes, content_type: str = "application/json") -> PayloadT:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    scope = {"type": "http", "headers": [(b"content-type", content_type.encode())]}
    return asyncio.run(read(Request(scope, receive), model))


@pytest.mark.parametrize(
    ("model", "body", "field"),
    [
        (DatacenterPatch, b'{"coordinates": [NaN, 18]}', "coordinates[0]"),
        (DatacenterPatch, b'{"coordinates": [1e999, 18]}', "coordinates[0]"),
        (DatacenterPatch, b'{"coordinates": [59, 181]}', "coordinates[1]"),
        (DatacenterPatch, b'{"coordinates": [59]}', "coordinates[1]"),
        (DatacenterPatch, b'{"name": ""}', "name"),
        (DatacenterPatch, b'{"location": "\\u0000"}', "location"),
        (DatacenterPatch, b'{"name": "\\ud800"}', "body"),
        (VmPatch, b'{"cpu": -1}', "cpu"),
        (VmPatch, b'{"cpu": true}', "cpu"),
        (VmPatch, b'{"memory": 99999999999999999999}', "memory"),
        (VmPatch, b'{"disk": 569083166720}', "disk"),
        (NewVm, b'{"name": "a", "disk": 8589934592}', "disk"),
        (NewVm, b'{"name": "a", "id": "a.b"}', "id"),
        (NewVm, b'{"name": "a", "id": "*"}', "id"),
        (NewVm, b"[" * 100_000, "body"),
    ],
)
def test_impossible_value_is_rejected(model: type[Any], body: bytes, field: str) -> None:
    """The error names the field and has a sentence."""
    with pytest.raises(ProblemError) as refused:
        sent(model, body)
    assert refused.value.fields[0].field.startswith(field)
    assert refused.value.fields[0].detail


def test_form_has_texts_for_numbers() -> None:
    """A repeated name is a list."""
    assert sent(VmPatch, b"cpu=4&name=my+vm", FORM).cpu == 4
    assert sent(DatacenterPatch, b"coordinates=59.3&coordinates=18", f"{FORM}; charset=utf-8").coordinates == (59.3, 18)


def test_json_may_have_whole_numbers_for_degrees() -> None:
    """JSON has one kind of number."""
    assert sent(DatacenterPatch, b'{"coordinates": [59, 18]}').coordinates == (59.0, 18.0)
