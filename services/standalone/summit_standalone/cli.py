"""The `summit-connect` command. It imports late, so that `--help` and `status` answer at once."""

import importlib.metadata
import io
import json
import os
import sys
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core

from summit_standalone.errors import StandaloneError
from summit_standalone.operating import commands as act_commands
from summit_standalone.operations import commands as operations_commands
from summit_standalone.options import DataDirOption, Output, OutputOption

DEFAULT_CONFIG = Path("config/datacenters.yaml")
DEFAULT_PORT = 3001
SECRETS = ("API_ADMIN_TOKEN", "API_TICKET_KEY", "DATABASE_URL", "NATS_URL", "PROJECTOR_READER_PASSWORD")
"""The settings of the services that may be in files."""


class _Commands(typer.core.TyperGroup):
    def invoke(self, context: Any) -> Any:
        """Print an error that a person can fix, without a traceback, and end with exit code 1.

        A terminal that is not UTF-8 gets escapes for what it lacks, such as the … in a table.
        """
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        try:
            return super().invoke(context)
        except StandaloneError as error:
            sys.stderr.write(f"summit-connect: {error}\n")
            raise typer.Exit(1) from error


app = typer.Typer(
    cls=_Commands,
    name="summit-connect",
    help="Inventory and control plane for KubeVirt virtual machines in many clusters.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
token_app = typer.Typer(no_args_is_help=True, help="Manage who may use the API.")
serve_app = typer.Typer(no_args_is_help=True, help="Run the product on this machine.")
app.add_typer(serve_app, name="serve")
app.add_typer(token_app, name="token")
app.add_typer(act_commands.app)
app.add_typer(operations_commands.app, name="operations", rich_help_panel=act_commands.PANEL)


class RoleOption(StrEnum):
    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


ConfigOption = Annotated[
    Path,
    typer.Option(
        "-c", "--config", envvar="WATCHER_CONFIG", help="datacenters.yaml, or its directory.", show_default=True
    ),
]
HostOption = Annotated[str, typer.Option("--host", envvar="API_HOST", help="Address the API listens on.")]
PortOption = Annotated[
    int, typer.Option("-p", "--port", min=1, max=65535, envvar="API_PORT", help="Port the API listens on.")
]
ServerOption = Annotated[
    str | None,
    typer.Option("-s", "--server", envvar="NATS_URL", help="NATS server. Default: the one that runs here."),
]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"summit-connect {importlib.metadata.version('summit-connect')}")
        raise typer.Exit


@app.callback()
def main(
    *,
    version: Annotated[  # noqa: ARG001  its callback has seen to it
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Inventory and control plane for KubeVirt virtual machines in many clusters."""
    _read_secret_files()


def _read_secret_files() -> None:
    """Put the secrets that are in files into the environment, where options and the services find them.

    Before the options are read. A service gets only the value, since its directory is another one than ours.
    """
    if not any(os.environ.get(f"{name}_FILE") for name in SECRETS):
        return  # without pydantic, so that `status` answers at once
    from summit_runtime.settings import IN_FILE, SettingsError, secrets_of_files

    try:
        os.environ |= secrets_of_files(SECRETS)
    except SettingsError as error:
        raise StandaloneError(str(error)) from error
    for name in SECRETS:
        os.environ.pop(name + IN_FILE, None)


@serve_app.command("backend")
def serve_backend(
    *,
    watch_vms: Annotated[
        bool, typer.Option("-w", "--watch-vms", help="Watch the clusters. Without it the API serves the stored state.")
    ] = False,
    port: PortOption = DEFAULT_PORT,
    config: ConfigOption = DEFAULT_CONFIG,
    data_dir: DataDirOption = None,
    host: HostOption = "127.0.0.1",
) -> None:
    """Run API, projector and, with -w, watcher, with an embedded NATS and Postgres.

    NATS_URL and DATABASE_URL in the environment replace the embedded servers. An option wins over its variable.
    """
    from summit_standalone.backend import check_settings
    from summit_standalone.directory import default_data_dir
    from summit_standalone.serve import Options, run, serve

    path = _usable_config(config) if watch_vms else None
    _configure_log()
    check_settings(os.environ.get("NATS_URL"), os.environ.get("DATABASE_URL"))
    run(Options(data_dir or default_data_dir(), host, port, path), serve)


@app.command()
def demo(*, port: PortOption = DEFAULT_PORT, data_dir: DataDirOption = None, host: HostOption = "127.0.0.1") -> None:
    """Run everything against four simulated clusters in three datacenters."""
    from summit_standalone.backend import check_settings
    from summit_standalone.demo import demo as work
    from summit_standalone.instance import demo_data_dir
    from summit_standalone.serve import Options, run

    _configure_log()
    check_settings()
    run(Options(data_dir or demo_data_dir(), host, port, None), work)


@token_app.command("new")
def new_token(
    *,
    name: Annotated[str, typer.Option("--name", help="The person or program that uses it; shown in the history.")],
    role: Annotated[RoleOption, typer.Option("--role", help="What the token may do.")],
    datacenter: Annotated[
        list[str] | None, typer.Option("--datacenter", help="Limit it to this datacenter; repeat for more.")
    ] = None,
    namespace: Annotated[
        list[str] | None, typer.Option("--namespace", help="Limit it to this namespace; repeat for more.")
    ] = None,
    expires: Annotated[
        str | None, typer.Option("--expires", help="First day, in UTC, on which it is no longer valid: 2027-01-31.")
    ] = None,
) -> None:
    """Make a token and print it once, with the line for the access file (API_ACCESS_FILE), which has only its hash."""
    from summit_standalone.commands.access import entry

    token, line = entry(name=name, role=role, datacenters=datacenter, namespaces=namespace, expires=expires)
    sys.stderr.write(f"Put this line below 'tokens:' in the access file (API_ACCESS_FILE):\n\n{line}\n\n")
    sys.stderr.write("The token, which is shown only now:\n\n")
    typer.echo(token)


@app.command()
def check(*, config: ConfigOption = DEFAULT_CONFIG, output: OutputOption = Output.TEXT) -> None:
    """Check datacenters.yaml and each cluster in it. The exit code is 1 if something is wrong."""
    from summit_standalone.commands import checking

    findings = checking.check(_config_file(config))
    typer.echo(checking.as_json(findings) if output is Output.JSON else checking.as_text(findings, datetime.now(UTC)))
    raise typer.Exit(0 if findings.ok else 1)


@app.command()
def status(*, output: OutputOption = Output.TEXT, data_dir: DataDirOption = None) -> None:
    """Print the clusters, addresses, processes and tables of what runs here.

    The exit code is 1 if nothing runs, a process does not run, a cluster is not well (not synced, or its VMs are
    stale), NATS does not answer, or events wait for more than 30 seconds.
    """
    import asyncio

    from summit_standalone.commands.status import as_text, is_well, read
    from summit_standalone.instance import NATS_ADMIN, TOKEN, read_state

    found = read_state(data_dir)
    token = found.pop(TOKEN, None)
    state = asyncio.run(read(found, token))
    state.pop(NATS_ADMIN, None)
    typer.echo(json.dumps(state, indent=2) if output is Output.JSON else as_text(state))
    raise typer.Exit(0 if is_well(state) else 1)


@app.command()
def rebuild(*, output: OutputOption = Output.TEXT, data_dir: DataDirOption = None) -> None:
    """Rebuild the tables from the log and correct every row that differs, while everything keeps running.

    NATS_URL and DATABASE_URL in the environment name other servers than those that run here.
    """
    import asyncio

    from summit_standalone.commands.rebuilding import rebuild_tables

    _configure_log()
    rebuilt = asyncio.run(rebuild_tables(data_dir))
    typer.echo(rebuilt.as_json() if output is Output.JSON else rebuilt.as_text())


@app.command()
def sub(
    subject: Annotated[str, typer.Argument(help="For example 'summit.vms.dc-solna.>'.")] = "summit.>",
    *,
    server: ServerOption = None,
    count: Annotated[int | None, typer.Option("--count", min=1, help="Stop after this many messages.")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Print only the events, one JSON document per line.")] = False,
    data_dir: DataDirOption = None,
) -> None:
    """Print every event as it happens, as `nats sub` does."""
    import asyncio

    from summit_standalone.commands.subscribe import login_for, subscribe
    from summit_standalone.instance import read_state

    address = server or str(read_state(data_dir)["natsUrl"])
    asyncio.run(subscribe(address, subject, count=count, raw=raw, login=login_for(server)))


@app.command()
def retire(
    datacenter: Annotated[str, typer.Argument(help="Id of the datacenter.")],
    cluster: Annotated[
        str | None, typer.Argument(help="Name of one of its clusters. Default: all of them and the datacenter.")
    ] = None,
    *,
    server: ServerOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Remove a datacenter and its clusters from the lists when no configuration declares them. Their history stays.

    A running watcher does this by itself for entries that are removed from its datacenters.yaml. VMs that were added by
    hand stay.
    """
    import asyncio

    from summit_standalone.commands import retire as retiring
    from summit_standalone.commands.subscribe import login_for
    from summit_standalone.instance import nats_admin_url, read_state

    address = server or nats_admin_url(read_state(data_dir))
    for sentence in asyncio.run(retiring.retire(address, datacenter, cluster, login=login_for(server))):
        typer.echo(sentence)


def _config_file(config: Path) -> Path:
    """The file, also if its directory is given."""
    path = config.expanduser().absolute()
    return path / "datacenters.yaml" if path.is_dir() else path


def _usable_config(config: Path) -> Path:
    """The file, if it can be used: the watcher leaves out entries with mistakes, and logs them.

    Raises StandaloneError if its mistakes leave nothing to watch.
    """
    from summit_watcher.config.datacenters import load
    from summit_watcher.config.entries import EXAMPLE

    path = _config_file(config)
    found = load(path)
    if not found.clusters and found.mistakes:
        raise StandaloneError("\n".join(str(mistake) for mistake in found.mistakes))
    if not found.clusters:
        sys.stderr.write(
            f"{path} declares no cluster yet, so there is nothing to watch: add one while this runs "
            f"({EXAMPLE} shows how), or try `summit-connect demo`\n"
        )
    return path


def _configure_log() -> None:
    """Apply LOG_LEVEL and LOG_FORMAT as the services do. Raises StandaloneError if they are invalid."""
    from summit_runtime import log
    from summit_runtime.settings import ProcessSettings, SettingsError

    try:
        settings = ProcessSettings.from_environment()
    except SettingsError as error:
        raise StandaloneError(str(error)) from error
    log.configure(settings.log_level, settings.log_format)
