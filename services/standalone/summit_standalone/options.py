"""Options that several commands share."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Output(StrEnum):
    TEXT = "text"
    JSON = "json"


DataDirOption = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        help="Where NATS and Postgres keep their data. "
        "Default: ~/.local/state/summit-connect, for root /var/lib/summit-connect.",
        show_default=False,
    ),
]
OutputOption = Annotated[Output, typer.Option("-o", "--output", help="Format of the output.")]
UrlOption = Annotated[
    str | None,
    typer.Option(
        "--url", envvar="SUMMIT_URL", help="Address of the api. Default: the one that runs here.", show_default=False
    ),
]
TokenFileOption = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        envvar="SUMMIT_TOKEN_FILE",
        help="File with the token for the api. Default: the variable SUMMIT_TOKEN.",
        show_default=False,
    ),
]
