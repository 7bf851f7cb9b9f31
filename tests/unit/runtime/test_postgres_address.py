"""DATABASE_URL: each option of libpq is taken, or refused by its name before anything is connected."""

import re
from pathlib import Path

import pytest
import trustme

from summit_runtime.postgres.address import CONNECT_SECONDS, parse

URL = "postgresql://u:secret@h:5432/d"


def test_settings_of_the_server_are_not_sent_at_the_start() -> None:
    """PgBouncer refused `statement_timeout` there, and the api answered 503 for ever."""
    address = parse(f"{URL}?search_path=a,b&sslmode=require&application_name=mine&statement_timeout=5")
    assert address.attempts == (f"{URL}?sslmode=require",)
    assert address.startup == {"application_name": "mine"}
    assert address.settings == {"search_path": "a,b", "statement_timeout": "5"}


@pytest.mark.parametrize(
    "options",
    [
        "keepalives=1&keepalives_idle=30&keepalives_interval=10&keepalives_count=3&tcp_user_timeout=1000",
        "gssencmode=prefer&channel_binding=prefer&sslcompression=0&fallback_application_name=x",
        "client_encoding=utf8&load_balance_hosts=disable&sslsni=1",
    ],
)
def test_options_of_libpq_that_change_nothing_here_are_no_settings_of_the_server(options: str) -> None:
    """Each of them ended every connection: `unrecognized configuration parameter`."""
    assert parse(f"{URL}?{options}") == parse(URL)


def test_connect_timeout_is_that_of_each_host() -> None:
    """It was sent to the server. 0 means our own limit, since nobody waits for ever."""
    assert parse(f"{URL}?connect_timeout=10").connect_seconds == 10
    assert parse(f"{URL}?connect_timeout=0").connect_seconds == CONNECT_SECONDS == parse(URL).connect_seconds


def test_hosts_are_tried_in_their_order_each_for_itself() -> None:
    """The first one of several in one attempt, when it did not answer, used up the time of all."""
    address = parse("postgresql://u:p@one,two:5433/d?target_session_attrs=primary")
    asked = "target_session_attrs=primary"
    assert address.attempts == (f"postgresql://u:p@one/d?{asked}", f"postgresql://u:p@two:5433/d?{asked}")


def test_a_standby_is_preferred_over_all_hosts() -> None:
    """Any host will do, once no one of them is a standby."""
    attempts = parse("postgresql://one,two/d?target_session_attrs=prefer-standby").attempts
    assert [attempt.partition("?target_session_attrs=")[2] for attempt in attempts] == ["standby"] * 2 + ["any"] * 2


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("h:5432", "write it as postgresql://user:password@host:port/database"),
        ("10.0.0.7:5432/d", "write it as postgresql://user:password@host:port/database"),
        ("postgresql://[::1:5432/d", "write it as postgresql://user:password@host:port/database"),
        (f"{URL}?sslmode=bogus", "its option sslmode can be disable or allow or prefer or require or verify-ca or "),
        (f"{URL}?channel_binding=require", "its option channel_binding can be disable or prefer here, not 'require'"),
        (f"{URL}?gssencmode=require", "its option gssencmode can be disable or prefer here, not 'require'"),
        (f"{URL}?target_session_attrs=master", "its option target_session_attrs can be any or read-write or "),
        (f"{URL}?connect_timeout=5s", "its option connect_timeout is a number of seconds, not '5s'"),
        (f"{URL}?hostaddr=10.0.0.7", "its option hostaddr does not work here: remove it"),
        (f"{URL}?require_auth=scram-sha-256", "its option require_auth does not work here: remove it"),
        (
            f"{URL}?sslrootcert=/none.pem",
            "its option sslrootcert names '/none.pem', which cannot be used: No such file",
        ),
        (f"{URL}?sslmode=verify-full", "its option sslmode=verify-full needs sslrootcert, the file of the authorities"),
    ],
)
def test_what_could_never_be_connected_is_refused(
    url: str, sentence: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It was a 500 or a 503 for each request, with the reason in the log at best. No sentence has the password."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("PGSSLROOTCERT", raising=False)
    with pytest.raises(ValueError, match=re.escape(sentence)) as refused:
        parse(url)
    assert "secret" not in str(refused.value)


def test_files_of_tls_are_opened_at_once(tmp_path: Path) -> None:
    """One that is no certificate would fail at each connection."""
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    (tmp_path / "text.pem").write_text("no certificate")
    assert parse(f"{URL}?sslmode=verify-full&sslrootcert={tmp_path}/ca.pem").settings == {}
    with pytest.raises(ValueError, match=r"names '.*text\.pem', which cannot be used: "):
        parse(f"{URL}?sslrootcert={tmp_path}/text.pem")
