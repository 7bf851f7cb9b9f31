"""`make revision MESSAGE="cpu model"`: write the migration that the tables need, and its number beside them."""

import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import SecretStr

from summit_models import tables
from summit_projector import migrate
from summit_standalone.embedded.postgres import embedded_postgres


async def write_revision(directory: Path, message: str) -> str:
    """The present migrations run in a Postgres of their own."""
    async with embedded_postgres(directory) as url:
        return await migrate.new_revision(SecretStr(url), message)


def main() -> None:
    with TemporaryDirectory() as directory:
        number = asyncio.run(write_revision(Path(directory), sys.argv[1]))
    source = Path(tables.__file__)
    before, after = (f'SCHEMA_REVISION = "{revision}"' for revision in (tables.SCHEMA_REVISION, number))
    source.write_text(source.read_text().replace(before, after))


if __name__ == "__main__":
    main()
