"""Behind a proxy that serves this api below a path of its own, such as /summit/, and takes that path away.

The api knows its paths as they are; what it sends for others to follow begins with the proxy's.
"""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class RootPath:
    """ASGI middleware: paths in the headers `Location` and `Link` begin with the root path."""

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self._app = app
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_prefixed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, begin in (("location", "/"), ("link", "</")):
                    if headers.get(name, "").startswith(begin):
                        headers[name] = headers[name].replace("/", f"{self._root_path}/", 1)
            await send(message)

        await self._app(scope, receive, send_prefixed)
