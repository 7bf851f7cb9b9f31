"""The data directory: where it is by default, and who may have it."""

import os
from pathlib import Path

import pytest

from summit_standalone.directory import default_data_dir, has_instance, prepare_directory, single_instance
from summit_standalone.errors import StandaloneError


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not root, even if root runs the tests."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("HOME", "/home/person")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)


@pytest.mark.usefixtures("person")
def test_default_is_the_state_directory_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the XDG rules: the variable if it is absolute, else ~/.local/state."""
    assert default_data_dir() == Path("/home/person/.local/state/summit-connect")
    monkeypatch.setenv("XDG_STATE_HOME", "relative/is/ignored")
    assert default_data_dir() == Path("/home/person/.local/state/summit-connect")
    monkeypatch.setenv("XDG_STATE_HOME", "/srv/state")
    assert default_data_dir() == Path("/srv/state/summit-connect")


def test_default_of_root_is_that_of_a_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """Services of the system keep their data in /var/lib."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default_data_dir() == Path("/var/lib/summit-connect")


def test_a_new_directory_is_closed_to_others(tmp_path: Path) -> None:
    """Inside are passwords and the whole inventory."""
    made = prepare_directory(tmp_path / "a" / "b")
    assert made.stat().st_mode & 0o777 == 0o700


def test_a_directory_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    """It names the directory, the reason and the option."""
    (tmp_path / "file").touch()
    with pytest.raises(StandaloneError, match=r"cannot be made: (Not a directory|File exists); name another with"):
        prepare_directory(tmp_path / "file" / "data")


def test_a_directory_of_ours_that_is_read_only_does_not_ask_for_another_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner read "run as that user" of a file system that had become read-only."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(StandaloneError, match="is not writable, although it is yours: it is mounted or made read-only"):
        prepare_directory(tmp_path)


def test_a_directory_has_one_instance(tmp_path: Path) -> None:
    """The lock names the process, and is free again when that ends, however it ends."""
    assert not has_instance(tmp_path)
    with single_instance(tmp_path):
        assert has_instance(tmp_path)
        refusal = pytest.raises(StandaloneError, match=rf"another summit-connect \(process {os.getpid()}\)")
        with refusal, single_instance(tmp_path):
            pass
    assert not has_instance(tmp_path)
