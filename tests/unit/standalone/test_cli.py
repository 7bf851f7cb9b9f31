"""The `summit-connect` command while nothing runs: its output, errors and exit codes."""

import importlib
import io
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from summit_api.access import policy, tokens
from summit_api.access.principal import Scope
from summit_models.contract import DatacenterId
from summit_standalone.backend import api_environment, check_settings
from summit_standalone.cli import app
from summit_standalone.demo import _welcome
from summit_standalone.errors import StandaloneError
from summit_standalone.instance import Instance


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_terminal_without_a_character_gets_an_escape(monkeypatch: pytest.MonkeyPatch) -> None:
    """With LANG=sv_SE.ISO-8859-1 the … in a table ended `status` with a traceback."""
    written = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    monkeypatch.setattr("sys.stdout", written)
    app(["sub", "--help"], standalone_mode=False)
    written.write("fra-1\u2026")
    written.flush()
    assert "fra-1\\u2026" in written.buffer.getvalue().decode("latin-1")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration whose only cluster has no kubeconfig."""
    path = tmp_path / "datacenters.yaml"
    path.write_text("datacenters:\n- id: dc-solna\n  clusters:\n  - name: vulcan\n    kubeconfig: none.yaml\n")
    return path


def test_version_is_that_of_the_distribution() -> None:
    """One line with name and version."""
    assert re.fullmatch(r"summit-connect \d+\.\d+\.\d+\n", run("--version").output)


def test_check_names_the_cluster_and_the_problem(config: Path) -> None:
    """A table line for the cluster, the problem as a sentence, exit code 1."""
    result = run("check", "-c", config)
    assert result.exit_code == 1
    header, line, empty, sentence = result.output.splitlines()
    assert header.split() == [
        *("CLUSTER", "DATACENTER", "STATUS", "VERSION", "USER", "KUBEVIRT", "ACCESS", "ACTIONS", "CERTIFICATE"),
    ]
    assert line.split()[:3] == ["vulcan", "dc-solna", "failed"]
    assert empty == ""
    assert sentence == f"error: cluster vulcan: kubeconfig not found at {config.parent / 'none.yaml'}"


def test_check_takes_the_directory_of_the_file_as_well(config: Path) -> None:
    """`-c config` means config/datacenters.yaml, as it always has."""
    assert run("check", "-c", config.parent).output == run("check", "-c", config).output


def test_check_prints_mistakes_with_file_and_line(config: Path) -> None:
    """A mistake in the file is an error even if every cluster works."""
    config.write_text("datacenters:\n- id: Solna\n")
    result = run("check", "-c", config)
    assert result.exit_code == 1
    assert result.output.startswith(f"error: {config} line 2: 'id' of datacenter 'Solna' cannot be used")


def test_check_finds_that_there_is_nothing_to_watch(config: Path) -> None:
    """The file we ship declares no cluster; the message names the remedy."""
    config.write_text("datacenters: []\n")
    result = run("check", "-c", config)
    assert result.exit_code == 1
    assert result.output == (f"{config} declares no cluster: add one as in config/datacenters.example.yaml\n")


def test_check_answers_machines_in_json(config: Path) -> None:
    """The same findings, with camelCase names."""
    result = run("check", "-c", config, "-o", "json")
    found = json.loads(result.output)
    assert found["ok"] is False
    assert found["mistakes"] == []
    (cluster,) = found["clusters"]
    assert cluster["name"] == "vulcan"
    assert cluster["certificateExpires"] is None
    assert len(cluster["problems"]) == 1


def test_status_without_an_instance_is_an_error(tmp_path: Path) -> None:
    """A message on stderr, nothing on stdout, exit code 1."""
    result = run("status", "--data-dir", tmp_path, "-o", "json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"nothing runs with data directory {tmp_path}" in result.stderr


@pytest.mark.parametrize("subcommand", ["status", "sub", "rebuild"])
def test_a_data_directory_that_may_not_be_read_is_one_message(subcommand: str, tmp_path: Path) -> None:
    """The instance of another user gives no traceback of a PermissionError, and exit code 1."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    importlib.import_module(
        "summit_standalone.commands.rebuilding"
    )  # the user nobody may not be able to read the programs either
    with _without_rights():
        result = run(subcommand, "--data-dir", closed)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        f"summit-connect: {closed}/lock cannot be opened: Permission denied; "
        "run as its owner, or name another directory with --data-dir\n"
    )


@contextmanager
def _without_rights() -> Iterator[None]:
    """Become nobody if root runs the tests: root may read every directory."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_serve_refuses_a_configuration_that_cannot_be_read(tmp_path: Path) -> None:
    """With -w and without a file nothing is started."""
    result = run("serve", "backend", "-w", "-c", tmp_path / "none.yaml", "--data-dir", tmp_path / "data")
    assert result.exit_code == 1
    assert result.stderr == (
        f"summit-connect: {tmp_path}/none.yaml: there is no such file: "
        "write one, config/datacenters.example.yaml shows how\n"
    )
    assert not (tmp_path / "data").exists()


def test_serve_refuses_a_log_level_that_does_not_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the variable, before the services start and reject it one by one."""
    monkeypatch.setenv("LOG_LEVEL", "LOUD")
    result = run("serve", "backend", "--data-dir", tmp_path / "data")
    assert result.exit_code == 1
    assert result.stderr.startswith("summit-connect: variable LOG_LEVEL: ")


@pytest.mark.parametrize(
    ("variable", "value"),
    [("API_PRT", "3055"), ("WATCHER_PROBE_PORT", "http"), ("PROJECTOR_BATCH", "10"), ("DATABASE_URL", "mysql://h/d")],
)
def test_serve_refuses_what_a_service_would(
    variable: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service would be restarted for ever, and its message be lost among others."""
    monkeypatch.setenv(variable, value)
    result = run("serve", "backend", "--data-dir", tmp_path / "data")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert variable in result.stderr
    assert not (tmp_path / "data").exists()


def test_sub_without_a_server_is_one_message() -> None:
    """It has neither the password nor a traceback of the client."""
    result = run("sub", "-s", "nats://someone:secret@127.0.0.1:1", "summit.>")
    assert result.exit_code == 1
    assert result.stderr == "summit-connect: no NATS server answers at nats://127.0.0.1:1: Connection refused\n"


def test_new_token_is_printed_once_and_its_hash_is_a_line_of_the_access_file() -> None:
    """Only the token is on stdout, for scripts; the line is valid in the access file."""
    result = run(
        *("token", "new", "--name", 'the "ops" team', "--role", "operator", "--expires", "2027-01-31"),
        *("--datacenter", "dc-solna", "--datacenter", "dc-uppsala", "--namespace", "prod"),
    )
    assert result.exit_code == 0
    token = result.stdout.strip()
    (line,) = re.findall(r"^  - .*$", result.stderr, re.MULTILINE)
    assert token not in result.stderr
    grant = policy.parse(f"tokens:\n{line}").of_token(tokens.digest(token))
    assert grant
    assert (grant.name, str(grant.role), str(grant.expires)[:10]) == ('the "ops" team', "operator", "2027-01-31")
    assert grant.scope == Scope(frozenset({DatacenterId("dc-solna"), DatacenterId("dc-uppsala")}), frozenset({"prod"}))


def test_a_token_with_invalid_options_is_not_made() -> None:
    """There is one message, and no token is printed."""
    expiring = ["--name", "a", "--role", "viewer", "--expires"]
    for arguments in (["--name", "", "--role", "viewer"], [*expiring, "soon"], [*expiring, "2026-01-31"]):
        result = run("token", "new", *arguments)
        assert (result.exit_code, result.stdout) == (1, "")
        assert re.fullmatch(r"summit-connect: invalid token: (name|expires): .+\n", result.stderr)


@pytest.mark.parametrize(
    ("host", "configured", "role"),
    [
        ("127.0.0.1", None, "admin"),
        ("::1", None, "admin"),
        ("localhost", "", "admin"),
        ("127.0.0.1", "viewer", None),
        ("0.0.0.0", None, None),
        ("192.0.2.1", "viewer", None),
    ],
)
def test_admin_without_a_token_on_the_loopback_only(
    host: str, configured: str | None, role: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A role in the environment wins, since the api reads it as well."""
    monkeypatch.delenv("API_ANONYMOUS_ROLE", raising=False)
    if configured is not None:
        monkeypatch.setenv("API_ANONYMOUS_ROLE", configured)
    assert api_environment(host, 3001, "summit_x").get("API_ANONYMOUS_ROLE") == role


def test_an_access_file_is_read_as_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The api, whose directory is another one, did not find `API_ACCESS_FILE=access.yaml` and started again for ever.

    A file that is not there, or has a mistake, stops the start.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("API_ACCESS_FILE", "access.yaml")
    with pytest.raises(StandaloneError, match=r"^access file access\.yaml cannot be read: No such file or directory$"):
        check_settings()
    (tmp_path / "access.yaml").write_text("tokens: []\n")
    check_settings()
    assert api_environment("::1", 3001, "summit_x")["API_ACCESS_FILE"] == str(tmp_path / "access.yaml")


def test_a_demo_that_others_can_reach_shows_its_token(tmp_path: Path) -> None:
    """Each printed command has it; on the loopback none is needed."""
    instance = Instance(tmp_path, api="http://127.0.0.1:3001", natsUrl="nats://127.0.0.1:4222")
    assert _welcome(instance, 300, "summit_x").count("curl -sH 'Authorization: Bearer summit_x'") == 3
    assert "Authorization" not in _welcome(instance, 300, None)
