"""Secrets in files, for the command that runs all services."""

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from summit_api.settings import Settings as ApiSettings
from summit_projector.settings import ProjectorSettings
from summit_standalone.cli import SECRETS, app
from summit_watcher.settings import WatcherSettings


def test_each_secret_of_a_service_may_be_in_a_file() -> None:
    """The command knows them by name, since reading the settings of all services would take its time."""
    services = (ApiSettings, ProjectorSettings, WatcherSettings)
    assert set(SECRETS) == {variable for settings in services for variable in settings._secrets()}


def test_a_service_gets_the_secret_and_not_its_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It has another directory, and a file beside the value that it is given would stop its start."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "url").write_text("nats://127.0.0.1:1\n")
    monkeypatch.setenv("NATS_URL_FILE", "url")
    monkeypatch.setenv("NATS_URL", "")
    result = CliRunner().invoke(app, ["token", "new", "--name", "ada", "--role", "viewer"])
    assert result.exit_code == 0
    assert os.environ["NATS_URL"] == "nats://127.0.0.1:1"
    assert "NATS_URL_FILE" not in os.environ


def test_a_missing_file_ends_the_command_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not go on with the default, which would be another server."""
    monkeypatch.setenv("NATS_URL_FILE", "/nowhere/url")
    result = CliRunner().invoke(app, ["token", "new", "--name", "ada", "--role", "viewer"])
    assert result.exit_code == 1
    assert "variable NATS_URL_FILE: '/nowhere/url' cannot be read: No such file or directory" in result.stderr
