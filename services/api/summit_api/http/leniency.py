"""HTTP clients expect HEAD where there is GET, and that a trailing slash does not matter."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEAD_ONLY = "summit.head"
"""Key in the scope of what was a HEAD: an endless answer must end after its head."""


class Leniency:
    """ASGI middleware: HEAD is GET without the body; `/api/v1/datacenters/` is `/api/v1/datacenters`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = _without_trailing_slashes(scope["path"], scope["raw_path"]) or "/"
        if scope["method"] == "HEAD":
            await self._app({**scope, "path": path, "method": "GET", HEAD_ONLY: True}, receive, _without_body(send))
        else:
            await self._app({**scope, "path": path}, receive, send)


def _without_trailing_slashes(path: str, raw: bytes) -> str:
    """A slash that the client has encoded as %2F belongs to a name, and stays."""
    slashes = len(raw) - len(raw.rstrip(b"/"))
    return path[:-slashes] if slashes else path


def _without_body(send: Send) -> Send:
    async def send_head(message: Message) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    return send_head
