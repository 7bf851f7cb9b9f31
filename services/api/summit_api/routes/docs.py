"""GET /docs: the OpenAPI document as a plain page that needs no other server."""

import re
from html import escape
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from summit_api.problems import Kind

router = APIRouter(include_in_schema=False)

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "code{background:#8882;padding:0 .3em;border-radius:3px}td{padding:.1em 1em .1em 0;vertical-align:top}"
    ":root{color-scheme:light dark}"
)
_CODE = re.compile("`([^`]+)`")


@router.get("/docs", response_class=HTMLResponse)
async def docs(request: Request) -> HTMLResponse:
    document = request.app.openapi()
    operations = "".join(
        _operation(path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    )
    title = escape(document["info"]["title"])
    return HTMLResponse(
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><style>{_STYLE}</style>"
        f"<h1>{title}</h1><p>{escape(document['info']['description'])}"
        f"<p>Complete: <a href=/openapi.json>/openapi.json</a>{operations}<h2>Problems</h2>{_problems()}"
    )


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
