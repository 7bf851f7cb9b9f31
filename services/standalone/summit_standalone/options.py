"""Options that several commands share."""

import inspect
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

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
API_OPTIONS: Mapping[str, tuple[Any, Any]] = {
    "output": (OutputOption, Output.TEXT),
    "url": (UrlOption, None),
    "token_file": (TokenFileOption, None),
    "data_dir": (DataDirOption, None),
}
"""The options of every command that asks an api: each parameter, its type and its default."""


def with_options(run: Callable[..., None], options: Mapping[str, tuple[Any, Any]]) -> Callable[..., None]:
    """Give a function that takes anything by name the signature that typer makes arguments and options from."""
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            for name, (annotation, default) in options.items()
        ]
    )
    return run
