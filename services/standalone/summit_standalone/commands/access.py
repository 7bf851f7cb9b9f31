"""`summit-connect token new`: a token, and its line in the access file."""

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

from summit_api.access import policy, tokens
from summit_standalone.errors import StandaloneError


def entry(
    *, name: str, role: str, datacenters: Sequence[str] | None, namespaces: Sequence[str] | None, expires: str | None
) -> tuple[str, str]:
    """A new token, and the line that makes it one. Raises StandaloneError for what the file could not say."""
    token = tokens.new_token()
    said: dict[str, Any] = {
        "name": name,
        "role": role,
        "datacenters": datacenters,
        "namespaces": namespaces,
        "expires": _day(expires) if expires else None,
        "sha256": tokens.digest(token),
    }
    line = (
        "  - {"
        + ", ".join(f"{key}: {_yaml(key, value)}" for key, value in said.items() if value not in (None, []))
        + "}"
    )
    try:
        policy.parse(f"tokens:\n{line}")
    except policy.PolicyError as error:
        raise StandaloneError(f"that is no token: {str(error).removeprefix('tokens[0].')}") from error
    return token, line


def _day(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise StandaloneError(f"that is no token: expires: {text!r} is no day, write it as 2027-01-31") from None
    if day <= datetime.now(UTC).date():
        raise StandaloneError(f"that is no token: expires: it would have ended at the beginning of {day} already")
    return day


def _yaml(key: str, value: Any) -> str:
    """JSON is YAML; but a quoted day would be a text."""
    return str(value) if key == "expires" else json.dumps(value)
