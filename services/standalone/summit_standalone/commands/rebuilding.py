"""`summit-connect rebuild`: find the log and the tables, and turn failures into messages."""

import os
from pathlib import Path

from pydantic import SecretStr

from summit_projector.rebuild import rebuild
from summit_projector.recovery.difference import Rebuilt
from summit_projector.settings import ProjectorSettings
from summit_runtime.nats.connection import bus
from summit_runtime.process import FatalError
from summit_runtime.settings import SettingsError
from summit_standalone.errors import StandaloneError
from summit_standalone.instance import nats_admin_url, read_state


async def rebuild_tables(data_dir: Path | None) -> Rebuilt:
    """Rebuild the tables that the environment names, or those that run here.

    Raises StandaloneError when it cannot be done. Then no row has been changed, but events may have been added to the
    journal.
    """
    nats_url, database_url = os.environ.get("NATS_URL"), os.environ.get("DATABASE_URL")
    if not (nats_url and database_url):
        state = read_state(data_dir)
        nats_url, database_url = nats_url or nats_admin_url(state), database_url or state["databaseUrl"]
    try:
        settings = ProjectorSettings.from_environment(
            NATS_URL=SecretStr(nats_url), DATABASE_URL=SecretStr(database_url)
        )
        async with bus.connected(settings.nats_url, name="rebuild", login=settings.nats_login) as client:
            return await rebuild(client, settings)
    except (FatalError, SettingsError) as error:
        raise StandaloneError(str(error)) from error
