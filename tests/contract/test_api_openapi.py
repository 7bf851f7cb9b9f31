"""The OpenAPI document describes every operation. (`make check` compares it with the one that is committed.)"""

import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs  # comes with schemathesis
import pytest
from support.paths import ROOT

from summit_api.openapi.document import document
from summit_api.problems import Kind
from summit_api.requests.dependencies import single_valued


@pytest.fixture(scope="module")
def rendered() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(document())
    return content


def operations(rendered: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in rendered["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def test_operations_are_described(rendered: dict[str, Any]) -> None:
    """Each operation has a summary, a description, a tag that is explained, and a plain id of its own."""
    tags = {tag["name"] for tag in rendered["tags"] if tag["description"]}
    ids = [operation["operationId"] for _, operation in operations(rendered)]
    assert len(ids) == len(set(ids))
    for name, operation in operations(rendered):
        assert operation["summary"], name
        assert operation["description"], name
        assert set(operation["tags"]) <= tags, name
        assert re.fullmatch(r"[a-z_]+", operation["operationId"]), name


def test_every_operation_is_in_the_page(rendered: dict[str, Any]) -> None:
    """docs/api.md names each path, or how it ends beside the path before it."""
    page = (ROOT / "docs" / "api.md").read_text()
    named = {re.sub(r"{\w+}", "{}", path) for path in re.findall(r"(?<=[` ])/[^`?\s\[,]*", page)}
    for name, _ in operations(rendered):
        path = re.sub(r"{\w+}", "{}", name.partition(" ")[2])
        beginnings = {path.removesuffix(end) for end in named if path.endswith(end)}
        assert beginnings & {"", *named}, name


def test_examples_are_what_they_are_examples_of(rendered: dict[str, Any]) -> None:
    """Each by its own schema; a schema is looked up in the document."""
    answers = [*rendered["components"]["responses"].values()]
    bodies = [operation["requestBody"] for _, operation in operations(rendered) if "requestBody" in operation]
    answers += [answer for _, operation in operations(rendered) for answer in operation["responses"].values()]
    shown = [
        content for one in [*bodies, *answers] for content in one.get("content", {}).values() if "example" in content
    ]
    assert len(shown) > 50
    for content in shown:
        schema = content["schema"] | {"components": rendered["components"]}
        jsonschema_rs.validator_for(schema).validate(content["example"])
    for _, operation in operations(rendered):
        for parameter in operation.get("parameters", []):
            schema = parameter["schema"] | {"components": rendered["components"]}
            for example in parameter["schema"].get("examples", []):
                jsonschema_rs.validator_for(schema).validate(example)


def test_each_status_of_an_operation_is_declared(rendered: dict[str, Any]) -> None:
    """Each error by its number, with the kinds of problems it may be; no "4XX" that says nothing."""
    for name, operation in operations(rendered):
        if "/api/" not in name:
            continue
        errors = {int(status) for status in operation["responses"] if int(status) >= 400}
        assert errors >= {400, 401, 403, 429, 500, 503}, name
        for status in errors:
            answer = resolved(rendered, operation["responses"][str(status)])
            assert list(answer["content"]) == ["application/problem+json"]
            assert answer["content"]["application/problem+json"]["example"]["status"] == status
            assert kinds(rendered, operation, status) <= {kind.title for kind in Kind if kind.status == status}


def test_kinds_of_problems_are_those_of_the_operation(rendered: dict[str, Any]) -> None:
    """A read does not declare an edit that came too late, and a migration no missing VM."""
    expected = {
        ("get", "/api/v1/vms/{vm_id}", 404): {"VM not found"},
        ("get", "/api/v1/migrations/{migration_id}", 404): {"Migration not found"},
        ("get", "/api/v1/vms/{vm_id}", 409): {"Revision not applied", "Ambiguous id"},
        ("get", "/api/v1/vms", 409): {"Revision not applied"},
        ("post", "/api/v1/admin/datacenters/{datacenter}/vms", 404): {"Datacenter not found"},
        ("post", "/api/v1/admin/datacenters/{datacenter}/vms", 409): {"Changed meanwhile", "Id in use"},
        ("delete", "/api/v1/admin/datacenters/{datacenter}/vms/{vm_id}", 409): {
            *("Changed meanwhile", "Ambiguous id", "Operation refused", "Idempotency-Key reused")
        },
        ("post", "/api/v1/tickets", 503): {"Busy", "Stopping", "Timeout", "Identity provider unavailable"},
    }
    for (method, path, status), titles in expected.items():
        assert kinds(rendered, rendered["paths"][path][method], status) == titles
    assert "501" not in rendered["paths"]["/api/v1/admin/datacenters/{datacenter}"]["patch"]["responses"]
    for name, operation in operations(rendered):
        reads = name.startswith("GET") and "/api/" in name
        assert not reads or "Log unavailable" not in kinds(rendered, operation, 503), name


def resolved(rendered: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    """The answer itself, where there is a reference to it."""
    found: dict[str, Any] = rendered["components"]["responses"].get(answer.get("$ref", "").rpartition("/")[2], answer)
    return found


def kinds(rendered: dict[str, Any], operation: dict[str, Any], status: int) -> set[str]:
    """Titles of the problems in the description."""
    description = resolved(rendered, operation["responses"][str(status)])["description"]
    return set(re.findall("^- (.+?): ", description, re.MULTILINE))


def test_parameter_is_a_list_or_may_be_given_once(rendered: dict[str, Any]) -> None:
    """A parameter with one value is rejected when it comes twice: none is forgotten there."""
    is_list = {
        parameter["name"]: parameter["schema"].get("type") == "array"
        for _, operation in operations(rendered)
        for parameter in operation.get("parameters", [])
        if parameter["in"] == "query"
    }
    assert {name for name, several in is_list.items() if not several} == single_valued()


def test_role_of_each_operation_is_declared(rendered: dict[str, Any]) -> None:
    """The role in words and for programs, and how to send a token or, to a feed, a ticket."""
    assert rendered["components"]["securitySchemes"].keys() == {"token", "ticket"}
    for name, operation in operations(rendered):
        if "/api/" in name:
            assert f"Needs the role {operation['x-role']}." in operation["description"]
            ways = [{"token": []}, {"ticket": []}] if name == "GET /api/v1/events" else [{"token": []}]
            assert operation["security"] == ways, name
        else:
            assert "security" not in operation, name


def test_bodies_have_examples(rendered: dict[str, Any]) -> None:
    """As they look, not as their types are."""
    for name, operation in operations(rendered):
        for status, answer in operation["responses"].items():
            for media_type, content in answer.get("content", {}).items():
                assert content.get("example") or media_type == "text/plain", f"{name} {status}"
    example = rendered["paths"]["/api/v1/vms"]["get"]["responses"]["200"]["content"]["application/json"]["example"]
    assert (example["items"][0]["name"], example["items"][0]["memory"]) == ("erp-db-01", 8192)
