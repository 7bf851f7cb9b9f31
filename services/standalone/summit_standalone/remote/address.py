"""Which api a command asks, and with which token.

The token of the instance on this machine goes to that instance only: another address needs a token of its own.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from summit_runtime.watched_files import read_limited
from summit_standalone.errors import StandaloneError
from summit_standalone.instance import TOKEN, read_state


@dataclass(frozen=True)
class Api:
    url: str
    token: str | None = field(repr=False)


def find(url: str | None, token_file: Path | None, data_dir: Path | None) -> Api:
    """The api at `url`, else that of the instance in `data_dir`.

    Raises StandaloneError if none is named and none runs, or the token cannot be read.
    """
    token = _token(token_file)
    if url and data_dir:
        raise StandaloneError("--url (or SUMMIT_URL) and --data-dir name two different apis: leave out one of them")
    if url:
        return Api(_checked(url), token)
    try:
        state = read_state(data_dir)
    except StandaloneError as error:
        raise StandaloneError(f"{error}; for an api on another machine, use --url or SUMMIT_URL") from error
    return Api(state["api"], token or state.get(TOKEN))


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and not (parts.query or parts.username)
        _ = parts.port
    except ValueError:
        usable = False
    if not usable:
        raise StandaloneError(f"{url!r} is not the address of an api: write it as https://summit.example.com")
    return url.rstrip("/").removesuffix("/api/v1")


def _token(file: Path | None) -> str | None:
    """The token in the file, which the environment names in SUMMIT_TOKEN_FILE, else SUMMIT_TOKEN."""
    if file is None:
        return _one_line(os.environ.get("SUMMIT_TOKEN", "").strip(), "SUMMIT_TOKEN") or None
    try:
        token = read_limited(file.expanduser()).decode("utf-8-sig").strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a text"
        raise StandaloneError(f"the token file {file} cannot be read: {reason}") from error
    if not token:
        raise StandaloneError(f"the token file {file} is empty")
    return _one_line(token, f"the token file {file}")


def _one_line(token: str, place: str) -> str:
    """A token with a line break would end its header, and the rest would be another one."""
    if not token.isprintable() or not token.isascii():
        raise StandaloneError(f"{place} has more than one line, or what no token has: only the token goes there")
    return token
