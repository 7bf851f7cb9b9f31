"""GET /openapi.json, and GET /docs: the same document as a plain page that needs no other server."""

import re
from html import escape
from typing import Any

from fastapi import APIRouter, Request

from summit_api.http.answer import Json, Page
from summit_api.problems import Kind

router = APIRouter(include_in_schema=False)

_CODE = re.compile("`([^`]+)`")


@router.get("/openapi.json")
async def openapi(request: Request) -> Json:
    document = request.app.openapi()
    root_path = request.app.state.root_path
    return Json(document | {"servers": [{"url": root_path}]} if root_path else document)


@router.get("/docs")
async def docs(request: Request) -> Page:
    document = request.app.openapi()
    operations = "".join(
        _operation(path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    )
    info = document["info"]
    complete = f"<p>Complete: <a href={request.app.state.root_path}/openapi.json>/openapi.json</a>"
    return Page(info["title"], f"<p>{escape(info['description'])}{complete}{operations}<h2>Problems</h2>{_problems()}")


def _problems() -> str:
    """Where the `type` of a problem leads to."""
    rows = "".join(
        f"<tr id={kind.anchor}><td>{kind.status}<td>{escape(kind.title)}<td>{_prose(kind.meaning)}" for kind in Kind
    )
    return f"<table>{rows}</table>"


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    rows = "".join(_parameter(parameter) for parameter in operation.get("parameters", []))
    return (
        f"<h3 id={operation['operationId']}><code>{method.upper()} {escape(path)}</code></h3>"
        f"<p>{_prose(operation.get('description', ''))}</p>"
        f"<p>Answers {', '.join(operation['responses'])}</p>" + (f"<table>{rows}</table>" if rows else "")
    )


def _parameter(parameter: dict[str, Any]) -> str:
    description = parameter.get("description", "")
    return f"<tr><td><code>{escape(parameter['name'])}</code><td>{parameter['in']}<td>{_prose(description)}"


def _prose(markdown: str) -> str:
    """Descriptions are Markdown; of it they use code only."""
    return _CODE.sub(r"<code>\1</code>", escape(markdown))
