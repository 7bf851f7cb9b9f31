"""The unit for systemd, against what it starts."""

import configparser
import shlex

import typer
from support.paths import ROOT

from summit_standalone.cli import app

UNIT = ROOT / "deploy/systemd/summit-connect.service"


def service() -> configparser.SectionProxy:
    unit = configparser.ConfigParser(interpolation=None, delimiters="=", strict=True)
    unit.optionxform = str  # type: ignore[assignment]  # names are case-sensitive
    unit.read_string(UNIT.read_text())
    return unit["Service"]


def test_the_command_takes_the_options_of_the_unit() -> None:
    """A renamed option would leave a machine without its service after an upgrade."""
    program, *words = shlex.split(service()["ExecStart"])
    assert program.endswith("/.venv/bin/summit-connect")
    command = typer.main.get_command(app)
    context = command.make_context("summit-connect", list(words))
    for _ in range(2):
        name, chosen, rest = command.resolve_command(context, [*context._protected_args, *context.args])  # type: ignore[attr-defined]
        command, context = chosen, chosen.make_context(name, rest, parent=context)
    assert context.params["watch_vms"]
    assert str(context.params["config"]) == "/etc/summit-connect/datacenters.yaml"
    assert str(context.params["data_dir"]) == "/var/lib/summit-connect"


def test_what_it_may_write_is_its_data() -> None:
    """Everything else is read-only for it; its directories are those that systemd makes."""
    settings = service()
    assert settings["ProtectSystem"] == "strict"
    assert settings["ExecStart"].endswith(f"--data-dir /var/lib/{settings['StateDirectory']}")
    assert f"/etc/{settings['ConfigurationDirectory']}/" in settings["ExecStart"]


def test_its_processes_are_ended_by_it_and_not_all_at_once() -> None:
    """Postgres and NATS that get the same signal as the others would go first."""
    settings = service()
    assert settings["KillMode"] == "mixed"
    assert int(settings["TimeoutStopSec"]) > 10
