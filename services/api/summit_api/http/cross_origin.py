"""CORS: which web pages may read answers. Starlette's middleware, except that it rejects requests with a problem."""

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from summit_api.problems import Kind, ProblemError, problem


class CrossOrigin(CORSMiddleware):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if _is_preflight(scope["method"], headers := Headers(scope=scope)):
            answer = self.preflight_response(headers)
            kept = {name: value for name, value in answer.headers.items() if not name.startswith("content-")}
            if answer.status_code >= 400:
                answer = problem.response(scope["path"], self._refusal(headers), kept)
            else:
                answer = PlainTextResponse("OK\n", headers=kept)
            await answer(scope, receive, send)
            return
        await super().__call__(scope, receive, send)

    def _refusal(self, headers: Headers) -> ProblemError:
        origin, method = headers["origin"], headers["access-control-request-method"]
        if not self.is_allowed_origin(origin):
            detail = f"pages of {origin} may not use this api; API_ORIGINS lists those that may"
        elif method not in self.allow_methods:
            detail = f"no page may send {method}; pages may send {', '.join(self.allow_methods)}"
        else:
            detail = f"pages of {origin} may not reach into a private network"
        return ProblemError(Kind.CROSS_ORIGIN, detail)


def _is_preflight(method: str, headers: Headers) -> bool:
    return method == "OPTIONS" and "origin" in headers and "access-control-request-method" in headers
