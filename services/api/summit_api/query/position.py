"""How far the tables are, so that no two states of them say the same: a revision, and the era that it belongs to.

Revisions begin anew with a log that is made anew, and tables that were rebuilt are others at the same revision. So ids
of feeds and entity tags have the era beside the number. To clients a position is opaque.
"""

import re
from datetime import datetime
from hashlib import blake2b
from typing import NamedTuple

from summit_models.contract import Revision

PATTERN = r"^[0-9]{1,19}(-[0-9a-f]{8})?$"
"""A revision alone names no era that there ever was."""

_PARTS = re.compile(PATTERN)


class Position(NamedTuple):
    revision: Revision
    era: str

    def __str__(self) -> str:
        return f"{self.revision}-{self.era}"

    @classmethod
    def parse(cls, text: str) -> "Position | None":
        """None for what is no position, and never was."""
        if not _PARTS.fullmatch(text) or text.endswith("\n"):
            return None
        revision, _, era = text.partition("-")
        return cls(Revision(int(revision)), era) if int(revision) < 1 << 63 else None


def era(generation: int, stream_created_at: datetime | None) -> str:
    """The same as long as the tables change by nothing but the next event of one and the same log."""
    return blake2b(repr((generation, stream_created_at)).encode(), digest_size=4).hexdigest()
