"""Settings by environment."""

from pathlib import Path
from typing import Self

import pytest
from pydantic import SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from summit_runtime.settings import DatabaseSettings, ProcessSettings, SettingsError, public_address


class ToasterSettings(DatabaseSettings):
    model_config = SettingsConfigDict(env_prefix="TOASTER_")

    slices: int = 2
    key: SecretStr | None = None
    breads: tuple[str, ...] = ()


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:secret@h/d")


def test_a_services_own_variables_carry_its_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    """TOASTER_SLICES sets `slices`; standard names have no prefix."""
    monkeypatch.setenv("TOASTER_SLICES", "4")
    settings = ToasterSettings.from_environment()
    assert settings.slices == 4
    assert settings.database_url.get_secret_value() == "postgresql://u:secret@h/d"


def test_a_misspelt_variable_stops_the_start_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """pydantic-settings would ignore it."""
    monkeypatch.setenv("TOASTER_SLICE", "4")
    with pytest.raises(
        SettingsError, match="unknown variable 'TOASTER_SLICE'; known are TOASTER_BREADS, TOASTER_KEY, TOASTER_SLICES"
    ):
        ToasterSettings.from_environment()


def test_a_wrong_value_is_reported_with_the_variables_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator knows variables, not fields."""
    monkeypatch.setenv("TOASTER_SLICES", "many")
    with pytest.raises(SettingsError, match=r"variable TOASTER_SLICES: .*integer"):
        ToasterSettings.from_environment()


def test_a_missing_variable_is_reported_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service without its database must not start and fail later."""
    monkeypatch.delenv("DATABASE_URL")
    with pytest.raises(SettingsError, match="variable DATABASE_URL: Field required"):
        ToasterSettings.from_environment()


def test_an_address_that_is_not_of_postgres_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be tried for ever. The sentence does not repeat it, because it contains a password."""
    monkeypatch.setenv("DATABASE_URL", "mysql://u:secret@h/d")
    with pytest.raises(SettingsError, match=r"^variable DATABASE_URL: write it as postgresql://user:password@host\S+$"):
        ToasterSettings.from_environment()


def test_settings_are_printed_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are logged at each start, under the names of their variables; addresses have no passwords."""
    monkeypatch.setenv("NATS_URL", "nats://u:secret@n:4222")
    monkeypatch.setenv("TOASTER_KEY", "secret://")
    monkeypatch.setenv("TOASTER_BREADS", '["white", "rye"]')
    settings = ToasterSettings.from_environment()
    assert str(settings) == (
        "NATS_URL=nats://n:4222 DATABASE_URL=postgresql://h/d TOASTER_KEY=*** TOASTER_BREADS=white,rye"
    )
    assert isinstance(settings, ProcessSettings)


def test_an_error_about_several_variables_has_their_own_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """It shows no value, as a traceback would."""

    class PickySettings(ToasterSettings):
        @model_validator(mode="after")
        def _refused(self) -> Self:
            raise ValueError("TOASTER_SLICES needs TOASTER_BREAD")

    with pytest.raises(SettingsError, match=r"^TOASTER_SLICES needs TOASTER_BREAD$"):
        PickySettings.from_environment()


# Secrets from files


def test_a_secret_may_be_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Editors and `echo` end it with a line break, which is no part of it."""
    monkeypatch.delenv("DATABASE_URL")
    for variable, secret in (("DATABASE_URL", "postgresql://u:secret@h/d"), ("TOASTER_KEY", "br ead")):
        (tmp_path / variable).write_text(f"{secret}\n")
        monkeypatch.setenv(f"{variable}_FILE", str(tmp_path / variable))
    settings = ToasterSettings.from_environment()
    assert settings.database_url.get_secret_value() == "postgresql://u:secret@h/d"
    assert settings.key == SecretStr("br ead")
    assert str(settings) == "DATABASE_URL=postgresql://h/d TOASTER_KEY=***"


def test_a_secret_that_is_given_twice_stops_the_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whichever won, somebody would look for the reason in the other one."""
    monkeypatch.setenv("DATABASE_URL_FILE", str(tmp_path / "url"))
    with pytest.raises(SettingsError, match=r"^DATABASE_URL and DATABASE_URL_FILE are both set: remove one of them$"):
        ToasterSettings.from_environment()


def test_an_empty_variable_beside_a_file_counts_as_not_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """So an override of docker compose can put a file in the place of a value."""
    monkeypatch.setenv("DATABASE_URL", "")
    (tmp_path / "url").write_text("postgresql://h/d")
    monkeypatch.setenv("DATABASE_URL_FILE", str(tmp_path / "url"))
    assert ToasterSettings.from_environment().database_url == SecretStr("postgresql://h/d")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"\n", "is empty"),
        (b"postgresql://h/d\npostgresql://i/d\n", "has several lines"),
        (b"s" * 100_000, "cannot be read: File too large"),
        (b"\xff\xfe", "is not UTF-8 text"),
        (b"mysql://u:secret@h/d\n", "write it as postgresql://user:password@host"),
    ],
)
def test_an_unusable_file_stops_the_start(
    content: bytes | None, sentence: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The sentence names the variable that names the file, and has nothing of what is in it."""
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.setenv("DATABASE_URL_FILE", str(tmp_path / "url"))
    if content is not None:
        (tmp_path / "url").write_bytes(content)
    with pytest.raises(SettingsError) as refused:
        ToasterSettings.from_environment()
    assert str(refused.value).startswith("variable DATABASE_URL_FILE: ")
    assert sentence in str(refused.value)
    assert "secret" not in str(refused.value)


def test_only_secrets_may_be_in_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """TOASTER_SLICES_FILE is a misspelt variable, like any other."""
    monkeypatch.setenv("TOASTER_SLICES_FILE", "/run/secrets/slices")
    with pytest.raises(SettingsError, match="unknown variable 'TOASTER_SLICES_FILE'"):
        ToasterSettings.from_environment()


@pytest.mark.parametrize(
    ("variable", "url", "sentence"),
    [
        ("NATS_URL", "foo://bar", "there is no scheme foo://, only nats://, tls://, ws://, wss://; write it as "),
        ("NATS_URL", "nats://u:secret/x@h:4222", "percent-encode the special characters of user and password"),
        ("NATS_URL", "nats://h:4222/path", "it is not the address of a server"),
        ("NATS_URL", ", ", "it names no server"),
        ("NATS_URL", "nats://a:4222,ws://b:80", "ws:// and wss:// cannot be mixed with nats:// and tls://"),
        ("DATABASE_URL", "postgresql://h/d?secret", "its options after ? are not name=value"),
        ("DATABASE_URL", "postgresql://u:secret/x@h/d", "percent-encode the special characters of user and password"),
    ],
)
def test_an_address_that_would_be_tried_for_ever_stops_the_start(
    variable: str, url: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sentence names the variable and the remedy, and has no part of a password."""
    monkeypatch.setenv(variable, url)
    with pytest.raises(SettingsError) as refused:
        ToasterSettings.from_environment()
    assert str(refused.value).startswith(f"variable {variable}: ")
    assert sentence in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("nats://127.0.0.1:4222", "nats://127.0.0.1:4222"),
        ("nats://summit:s3cret@nats:4222", "nats://nats:4222"),
        ("nats://t0ken@nats:4222", "nats://nats:4222"),
        ("nats://a:s3cret@one:4222,nats://b:s3cret@two:4222", "nats://one:4222,nats://two:4222"),
        ("summit:s3cret@nats:4222", "nats:4222"),
        ("nats://a:s3/c,r?et@one:4222, tls://t0k/en@two:4222", "nats://one:4222, tls://two:4222"),
        ("postgresql://summit:s3@cret@db:5432/summit", "postgresql://db:5432/summit"),
        ("postgresql://summit:s3/c,r?et@one,two/summit?options=x", "postgresql://one,two/summit"),
        ("postgresql://db/summit?user=summit&password=s3cret", "postgresql://db/summit"),
        ("", ""),
    ],
)
def test_a_shown_address_has_no_secret(url: str, shown: str) -> None:
    """There is no password, no token in the user's place, for any of several servers, and none among the options."""
    assert public_address(url) == shown
