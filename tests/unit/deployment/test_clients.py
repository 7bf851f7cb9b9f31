"""Our HTTP clients: what they present belongs to the address that was configured, and to no other.

The client of clusters makes its own session; `tests/integration/kube` holds the same of it against real servers.
"""

import ast
from collections.abc import Iterator

from support.paths import ROOT

_METHODS = {"get", "post", "request"}


def _calls() -> Iterator[tuple[str, ast.Call]]:
    for folder in ("services", "libs"):
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                    yield f"{file.name}:{node.lineno}", node


def _keywords(call: ast.Call) -> dict[str | None, str]:
    return {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}


def test_no_client_follows_a_redirect_or_reads_netrc() -> None:
    """A 302 led requests and tokens elsewhere, and aiohttp's `trust_env` sends passwords of `.netrc`."""
    requests = [(w, c) for w, c in _calls() if ast.unparse(c.func).endswith(tuple(f"session.{m}" for m in _METHODS))]
    sessions = [(w, c) for w, c in _calls() if ast.unparse(c.func) == "aiohttp.ClientSession"]
    assert len(requests) >= 4
    assert len(sessions) >= 4
    assert [where for where, call in requests if _keywords(call).get("allow_redirects") != "False"] == []
    assert [where for where, call in sessions if _keywords(call).get("trust_env", "False") != "False"] == []
    assert [where for where, call in _calls() if "urllib.request" in ast.unparse(call.func)] == []
