"""${message}."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "${up_revision}"
down_revision = "${down_revision}"


def upgrade() -> None:
    ${"\n".join(line for line in upgrades.splitlines() if "###" not in line).strip() or "pass"}
