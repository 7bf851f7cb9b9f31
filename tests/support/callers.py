"""People and programs with a token each, and the access file that admits them."""

from collections.abc import Mapping
from pathlib import Path

from summit_api.access import tokens
from summit_api.access.policy import PolicyFile


def new_tokens(callers: Mapping[str, str]) -> dict[str, str]:
    """A token for each name."""
    return {name: tokens.new_token() for name in callers}


def access_text(callers: Mapping[str, str], of: Mapping[str, str]) -> str:
    """An access file: by name what each caller may do, as `role: viewer, namespaces: [prod]`, and their token."""
    lines = [f"- {{name: {name}, {may}, sha256: {tokens.digest(of[name])}}}" for name, may in callers.items()]
    return "\n".join(["tokens:", *lines, ""])


def policy_file(directory: Path, callers: Mapping[str, str], of: Mapping[str, str]) -> PolicyFile:
    """The access file of these callers, written to a directory."""
    path = directory / "access.yaml"
    path.write_text(access_text(callers, of))
    return PolicyFile(path)
