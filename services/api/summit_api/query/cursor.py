"""Keyset cursors: the sort key of the last item of a page, opaque to clients.

The next page begins after that key whether or not its row still exists, so pages neither skip nor repeat a VM that
stays where it is.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import NamedTuple

import msgspec

from summit_api.problems import invalid_field

SORT_BY_NAME = "name"


class Cursor(NamedTuple):
    sort: str
    """The order the key belongs to: a cursor of one order means nothing in another."""
    name: str
    id: str


def encode(cursor: Cursor) -> str:
    return urlsafe_b64encode(msgspec.json.encode(cursor)).rstrip(b"=").decode()


def decode(text: str) -> Cursor:
    """Read back what `encode` gave. Raises ProblemError 400 for anything else."""
    try:
        cursor = msgspec.json.decode(urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=Cursor)
    except (ValueError, msgspec.MsgspecError) as error:
        raise _not_ours() from error
    if cursor.sort != SORT_BY_NAME or "\0" in cursor.name + cursor.id:
        raise _not_ours()
    return cursor


def _not_ours() -> Exception:
    return invalid_field(
        "cursor", "the cursor is not a 'next' of this API; start again without it, or repeat the last 'next' unchanged"
    )
