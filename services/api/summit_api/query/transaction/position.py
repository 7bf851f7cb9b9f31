"""How far the tables are: a revision, and the era that the revision counts in.

Revisions start again at 1 when the log is replaced, and rebuilt tables differ at the same revision. So ids of feeds and
entity tags name the era beside the number. For clients a position is opaque.
"""

import re
from datetime import datetime
from hashlib import blake2b
from typing import NamedTuple

from summit_models.contract import Revision

PATTERN = r"^[0-9]{1,19}(-[0-9a-f]{8})?$"
"""A revision without an era is of no era."""

_PARTS = re.compile(PATTERN)


class Position(NamedTuple):
    revision: Revision
    era: str

    def __str__(self) -> str:
        return f"{self.revision}-{self.era}"

    @classmethod
    def parse(cls, text: str) -> "Position | None":
        """None for a text that is not a position."""
        if not _PARTS.fullmatch(text) or text.endswith("\n"):
            return None
        revision, _, era = text.partition("-")
        return cls(Revision(int(revision)), era) if int(revision) < 1 << 63 else None


def era(generation: int, stream_created_at: datetime | None) -> str:
    """Stays the same while the tables change only by the next event of the same log."""
    return blake2b(repr((generation, stream_created_at)).encode(), digest_size=4).hexdigest()
