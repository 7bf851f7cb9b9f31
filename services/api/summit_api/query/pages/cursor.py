"""Keyset cursors: where the last item of a page is in the order, opaque to clients.

The next page begins after that place whether or not its row still exists, so pages neither skip nor repeat what stays
where it is. A cursor belongs to its list: the digest of order and filters in it rejects all others.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Annotated, Any, NamedTuple

import msgspec

from summit_api.query.pages.order import Column, Value
from summit_api.query.transaction.errors import InvalidValueError

MAX_LENGTH = 8000
"""No cursor of ours is longer: name, namespace, node and cluster of a VM that was added by hand have 253 characters
each, of four bytes in some scripts; base64 makes a third more of them."""

_TYPES: dict[type, Any] = {
    str: str,
    int: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)],  # BIGINT
    datetime: Annotated[datetime, msgspec.Meta(tz=True)],
}


class _Cursor(NamedTuple):
    belongs: str
    values: list[Any]


def digest(*parts: object) -> str:
    """A digest of all that a list depends on beside its rows; the parts must have a stable repr."""
    return blake2b(repr(parts).encode(), digest_size=6).hexdigest()


def encode(list_digest: str, values: Sequence[Value]) -> str:
    return urlsafe_b64encode(msgspec.json.encode(_Cursor(list_digest, list(values)))).rstrip(b"=").decode()


def decode(text: str, list_digest: str, columns: Sequence[Column]) -> list[Value]:
    """The values that `encode` was given for the same list. Raises InvalidValueError for anything else."""
    try:
        cursor = msgspec.json.decode(urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=_Cursor)
    except (ValueError, msgspec.MsgspecError) as error:
        raise _not_ours() from error
    if cursor.belongs != list_digest:
        raise InvalidValueError(
            "the cursor belongs to another list: sort and filters must be those of the page before", parameter="cursor"
        )
    try:
        return [_value(value, column) for value, column in zip(cursor.values, columns, strict=True)]
    except (ValueError, OverflowError) as error:
        raise _not_ours() from error


def _value(value: Any, column: Column) -> Value:
    kind = _TYPES[column.kind]
    read: Value = msgspec.convert(value, kind | None if column.nullable else kind)
    if isinstance(read, str) and "\0" in read:
        raise ValueError("Postgres has no such text")
    if isinstance(read, datetime) and not 1 < read.year < 9999:
        raise ValueError("a time zone may carry it out of all years")
    return read


def _not_ours() -> InvalidValueError:
    return InvalidValueError(
        "the cursor is not a 'next' of this API; start again without it, or repeat the last 'next' unchanged",
        parameter="cursor",
    )
