"""The least that any API in Python could be: uvicorn as ours runs it, and an app that answers each request with a file.

`python bare_app.py PORT FILE`, in a process of its own.
"""

import sys
from pathlib import Path
from typing import Any

import uvicorn


def app_answering(body: bytes) -> Any:
    head = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": body})

    return app


def main() -> None:
    port, file = sys.argv[1:]
    app = app_answering(Path(file).read_bytes())
    uvicorn.run(app, port=int(port), http="httptools", loop="auto", ws="none", lifespan="off", log_level="warning")


if __name__ == "__main__":
    main()
