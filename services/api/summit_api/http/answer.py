"""Answers in the form that all have: JSON or text that ends with a newline, and pages that need no other server."""

from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from html import escape
from typing import Any

from starlette.responses import HTMLResponse, JSONResponse

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "code{background:#8882;padding:0 .3em;border-radius:3px}td{padding:.1em 1em .1em 0;vertical-align:top}"
    ":root{color-scheme:light dark}"
)
_POLICY = "; ".join(
    (
        "default-src 'none'",
        f"style-src 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'",
        *("base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"),
    )
)
"""A page shows names that come from clusters: whatever they contain, the browser runs and loads nothing."""


class Json(JSONResponse):
    """An object, or JSON that is already encoded. The newline keeps a shell's prompt off the last line."""

    def render(self, content: Any) -> bytes:
        return (content if isinstance(content, bytes) else super().render(content)) + b"\n"


class Page(HTMLResponse):
    """A page with our style around its body. The body is HTML: whoever makes it escapes what is in it."""

    def __init__(self, title: str, body: str, headers: Mapping[str, str] | None = None) -> None:
        shown = (
            f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
            f"<title>{escape(title)}</title><style>{_STYLE}</style><h1>{escape(title)}</h1>{body}\n"
        )
        policy = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff"}
        super().__init__(shown, headers={**policy, **(headers or {})})
