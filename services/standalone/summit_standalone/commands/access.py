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
    """A new token, and its line in the access file. Raises StandaloneError if that line would be invalid."""
    token = tokens.new_token()
    members: dict[str, Any] = {
        "name": name,
        "role": role,
        "datacenters": datacenters,
        "namespaces": namespaces,
        "expires": _day(expires) if expires else None,
        "sha256": tokens.digest(token),
    }
    line = (
        "  - {"
        + ", ".join(f"{key}: {_yaml(key, value)}" for key, value in members.items() if value not in (None, []))
        + "}"
    )
    try:
        policy.parse(f"tokens:\n{line}")
    except policy.PolicyError as error:
        raise StandaloneError(f"invalid token: {str(error).removeprefix('tokens[0].')}") from error
    return token, line


def _day(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise StandaloneError(f"invalid token: expires: {text!r} is no day, write it as 2027-01-31") from None
    if day <= datetime.now(UTC).date():
        raise StandaloneError(f"invalid token: expires: {day} has already begun, choose a later day")
    return day


def _yaml(key: str, value: Any) -> str:
    """JSON is YAML, but a quoted day would be a string."""
    return str(value) if key == "expires" else json.dumps(value)
