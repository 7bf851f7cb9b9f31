"""Which api a command asks, and with which token."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from summit_standalone.directory import single_instance
from summit_standalone.errors import StandaloneError
from summit_standalone.remote.address import Api, find


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUMMIT_TOKEN", raising=False)


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    """That of an instance that runs."""
    with single_instance(tmp_path):
        (tmp_path / "state.json").write_text(json.dumps({"api": "http://127.0.0.1:3001", "apiToken": "summit_ours"}))
        yield tmp_path


def test_instance_that_runs_here_needs_no_token(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own is in its state; a token of the environment wins, since it decides who acts."""
    assert find(None, None, data_dir) == Api("http://127.0.0.1:3001", "summit_ours")
    monkeypatch.setenv("SUMMIT_TOKEN", "summit_ada")
    assert find(None, None, data_dir).token == "summit_ada"


def test_other_address_never_gets_the_token_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what was given for it. A path or a slash at its end is left out."""
    for url in ("https://summit.example.com", "https://summit.example.com/", "https://summit.example.com/api/v1/"):
        assert find(url, None, None) == Api("https://summit.example.com", None)
    monkeypatch.setenv("SUMMIT_TOKEN", "summit_variable")
    assert find("https://summit.example.com", None, None).token == "summit_variable"
    (tmp_path / "token").write_text("summit_file\n")
    assert find("https://summit.example.com", tmp_path / "token", None).token == "summit_file"
    assert "summit" not in repr(find("https://h", tmp_path / "token", None))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("summit.example.com", "is not the address of an api: write it as https://"),
        ("ftp://summit.example.com", "is not the address"),
        ("https://user:secret@summit.example.com", "is not the address"),
        ("https://[::1", "is not the address"),
        ("https://h:port", "is not the address"),
    ],
)
def test_address_that_cannot_be_used_is_one_sentence(url: str, words: str) -> None:
    """Before anything is sent."""
    with pytest.raises(StandaloneError, match=words):
        find(url, None, None)


def test_two_apis_and_none_are_mistakes(tmp_path: Path) -> None:
    """The sentence names the ways."""
    with pytest.raises(StandaloneError, match="name two different apis"):
        find("https://h", None, tmp_path)
    with pytest.raises(StandaloneError, match="use --url or SUMMIT_URL"):
        find(None, None, tmp_path)
    with pytest.raises(StandaloneError, match="cannot be read: No such file"):
        find("https://h", tmp_path / "none", None)
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(StandaloneError, match="is empty"):
        find("https://h", tmp_path / "empty", None)


@pytest.mark.parametrize("text", ["summit_one\nsummit_two", "summit_one\r\nX-More: 1", "summit_\u00fc", "\0"])
def test_token_of_several_lines_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """It was sent as it was, and the command reported that the answer of the api is no JSON."""
    (tmp_path / "token").write_text(text)
    with pytest.raises(StandaloneError, match="only the token goes there"):
        find("https://summit.example.com", tmp_path / "token", None)
    if "\0" not in text:
        monkeypatch.setenv("SUMMIT_TOKEN", text)
        with pytest.raises(StandaloneError, match="SUMMIT_TOKEN has more"):
            find("https://summit.example.com", None, None)


def test_token_file_of_windows_has_a_mark_and_one_without_end_is_refused(tmp_path: Path) -> None:
    """A byte order mark is no part of the token. /dev/zero was read until the memory was full."""
    (tmp_path / "token").write_bytes(b"\xef\xbb\xbfsummit_file\r\n")
    assert find("https://summit.example.com", tmp_path / "token", None).token == "summit_file"
    with pytest.raises(StandaloneError, match="File too large"):
        find("https://summit.example.com", Path("/dev/zero"), None)
