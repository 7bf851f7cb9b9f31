"""The schema's revisions are one line, which ends at the revision of `summit_models.tables`."""

from alembic.config import Config
from alembic.script import ScriptDirectory

from summit_models.tables import SCHEMA_REVISION
from summit_projector import migrate


def test_schema_revision_is_the_newest_migration() -> None:
    """The api knows the revision it needs without importing the projector."""
    config = Config()
    config.set_main_option("script_location", str(migrate.MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_current_head() == SCHEMA_REVISION
