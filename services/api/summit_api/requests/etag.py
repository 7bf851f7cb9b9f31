"""Entity tags: whether an answer can have changed, computed from numbers, without making the answer.

A tag is `W/"<revision>-<fingerprint>"`. The fingerprint is made of all else an answer depends on: the version of the
api, the era and when the revision was applied (another stream, or a restored one, may use its number again), which
clusters are fresh, and, where ages are rendered, the minute. So a 304 never hides a change of a row or of staleness,
and an age it confirms is at most a minute old. Weak, for that minute.
"""

from datetime import datetime
from hashlib import blake2b
from importlib.metadata import version

from summit_api.query.read_transaction import ReadTransaction

_API_VERSION = version("summit-connect")


def tag_of(transaction: ReadTransaction, *parts: object) -> str:
    """The tag of an answer made from this transaction and from `parts`, which must have a stable repr."""
    dependencies = repr((_API_VERSION, transaction.position.era, transaction.as_of, *parts))
    fingerprint = blake2b(dependencies.encode(), digest_size=6).hexdigest()
    return f'W/"{transaction.revision}-{fingerprint}"'


def minute(now: datetime) -> int:
    """The part that lets an answer with ages be confirmed for up to a minute."""
    return int(now.timestamp()) // 60


def is_known(tag: str, if_none_match: str | None) -> bool:
    """Whether the client's If-None-Match has the tag, compared weakly (RFC 9110 §13.1.2)."""
    if not if_none_match:
        return False
    known = {candidate.strip().removeprefix("W/") for candidate in if_none_match.split(",")}
    return "*" in known or tag.removeprefix("W/") in known
