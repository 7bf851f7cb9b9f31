"""The access file: tokens, and the roles of groups."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from summit_api.access.policy import PolicyError, PolicyFile, parse
from summit_api.access.principal import EVERYTHING, Role, Scope
from summit_runtime.watched_files import MOST_BYTES

A, B = "a" * 64, "b" * 64


def test_token_has_a_role_and_perhaps_limits() -> None:
    """A day alone is its beginning in UTC."""
    policy = parse(
        f"tokens:\n"
        f"  - {{name: grafana, role: viewer, datacenters: [dc-solna], namespaces: [x, y], expires: 2027-01-01, "
        f'sha256: "{A}"}}\n'
        f'  - {{name: ci, role: admin, sha256: "{B}"}}\n'
    )
    grafana, ci = policy.of_token(A), policy.of_token(B)
    assert grafana
    assert ci
    assert (grafana.role, grafana.scope) == (Role.VIEWER, Scope(frozenset({"dc-solna"}), frozenset({"x", "y"})))  # type: ignore[arg-type]
    assert grafana.expires == datetime(2027, 1, 1, tzinfo=UTC)
    assert (ci.role, ci.scope, ci.expires) == (Role.ADMIN, EVERYTHING, None)
    assert policy.of_token("c" * 64) is None


def test_first_group_in_the_file_decides() -> None:
    """As in pg_hba.conf, the file is read from top to bottom. A star is everybody."""
    policy = parse("groups: [{group: ops, role: operator}, {group: dev, role: admin}, {group: '*', role: viewer}]")
    for groups, role in ({"dev", "ops"}, Role.OPERATOR), ({"dev"}, Role.ADMIN), (set[str](), Role.VIEWER):
        grant = policy.of_groups(groups)
        assert grant
        assert grant.role is role
    assert parse("").of_groups({"ops"}) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tokens: [", "line 1: "),
        ("tokens: 3", "tokens: Input should be a valid tuple"),
        ("- a", "valid dictionary"),
        ("token: []", "token: Extra inputs are not permitted"),
        (f"tokens: [{{name: a, sha256: {A}}}]", "tokens[0].role: Field required"),
        (f"tokens: [{{name: a, role: root, sha256: {A}}}]", "role: a role is one of viewer, operator, admin"),
        (f"tokens: [{{name: a, role: 3, sha256: {A}}}]", "role: a role is one of viewer, operator, admin"),
        ("tokens: [{name: a, role: admin, sha256: summit_secret}]", "tokens[0].sha256: String should match"),
        (f"tokens: [{{name: a, role: admin, sha256: {A}, datacentres: [x]}}]", "datacentres: Extra inputs"),
        (f"tokens: [{{name: a, role: admin, sha256: {A}, expires: 2027-01-01 10:00:00}}]", "expires: Input should"),
        (f"tokens: [{{name: a, role: admin, sha256: {A}, expires: 2026-99-99}}]", "it is not YAML"),
        (f'tokens: [{{name: "\\ud800", role: admin, sha256: {A}}}]', "tokens[0].name: Input should be a valid string"),
        ("[" * 50_000, "it is not YAML"),
        ("groups: [{group: a, role: admin}, {group: a, role: viewer}]", "two entries have the same group"),
        (f"tokens: [{{name: a, role: admin, sha256: {A}}}, {{name: b, role: admin, sha256: {A}}}]", "same sha256"),
    ],
)
def test_error_names_the_place(text: str, words: str) -> None:
    """Nothing is guessed, and no value is shown: it may be a token in a wrong place."""
    with pytest.raises(PolicyError) as error:
        parse(text)
    assert words in str(error.value)
    assert "secret" not in str(error.value)


def test_file_is_read_again_when_it_changes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A new file may replace it; a broken or missing one changes nothing and is logged once."""
    path = tmp_path / "access.yaml"
    path.write_text(f"tokens: [{{name: a, role: admin, sha256: {A}}}]")
    file = PolicyFile(path)
    assert file.current().of_token(A)

    path.write_text("tokens: [{name: a, role: root}]")
    assert file.current().of_token(A)
    assert file.current().of_token(A)
    path.unlink()
    assert file.current().of_token(A)
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]
    assert "tokens[0].role: a role is one of" in caplog.text
    assert "the previous access file stays in force" in caplog.text

    (tmp_path / "new").write_text(f"tokens: [{{name: b, role: admin, sha256: {B}}}]")
    os.replace(tmp_path / "new", path)  # noqa: PTH105  as an editor does
    assert (file.current().of_token(A), bool(file.current().of_token(B))) == (None, True)


def test_file_that_cannot_be_read_at_the_start(tmp_path: Path) -> None:
    """A sentence with its name: to start without it would lock everybody out."""
    with pytest.raises(PolicyError, match=r"access.yaml cannot be read: No such file"):
        PolicyFile(tmp_path / "access.yaml")
    with pytest.raises(PolicyError, match=r"/dev/zero: it is not a regular file"):
        PolicyFile(Path("/dev/zero"))
    (tmp_path / "access.yaml").write_bytes(b" " * (MOST_BYTES + 1))
    with pytest.raises(PolicyError, match=r"access.yaml cannot be read: File too large"):
        PolicyFile(tmp_path / "access.yaml")
    (tmp_path / "access.yaml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(PolicyError, match=r"access.yaml: it is not text"):
        PolicyFile(tmp_path / "access.yaml")


def test_one_token_is_not_called_tokens(tmp_path: Path) -> None:
    """In the line of the log that counts what the file has."""
    path = tmp_path / "access.yaml"
    path.write_text(f"tokens: [{{name: ci, role: viewer, sha256: {A}}}]")
    assert PolicyFile(path).summary() == "1 token, 0 groups"
