"""Settings that would admit the wrong clients, or none, stop the start of the api."""

import re

import pytest

from summit_api.services import configured_access
from summit_api.settings import Settings
from summit_runtime.process import FatalError
from summit_runtime.settings import SettingsError


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"API_ADMIN_TOKEN": "password"}, "variable API_ADMIN_TOKEN: it must be a token"),
        ({"API_ANONYMOUS_ROLE": "root"}, "variable API_ANONYMOUS_ROLE: Input should be"),
        ({"API_OIDC_ISSUER": "http://issuer.example", "API_OIDC_AUDIENCE": "x"}, "an issuer is an https:// address"),
        ({"API_OIDC_ISSUER": "https://issuer.example"}, "API_OIDC_ISSUER needs API_OIDC_AUDIENCE"),
        ({"API_ACCESS_FILE": "/nowhere/access.yaml"}, "access file /nowhere/access.yaml cannot be read: No such file"),
    ],
)
def test_wrong_access_settings_stop_the_start(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], words: str
) -> None:
    """With a sentence that names the variable or the file."""
    for name, value in {"DATABASE_URL": "postgresql://", **variables}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises((SettingsError, FatalError), match=re.escape(words)):
        configured_access(Settings.from_environment())


@pytest.mark.parametrize("value", ["inf", "nan", "1e300", "3000000", "0.0000001", "0"])
@pytest.mark.parametrize("name", ["QUERY", "REQUEST", "HEAD", "STALLED"])
def test_time_that_cannot_be_kept_stops_the_start(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """A query time of a month made each request fail, and an endless one the start, "unforeseen"."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://")
    monkeypatch.setenv(f"API_{name}_SECONDS", value)
    with pytest.raises(SettingsError, match=f"API_{name}_SECONDS"):
        Settings.from_environment()
