"""DATABASE_URL as libpq reads it: which of its options count here, and which are refused by their name.

asyncpg takes most options of libpq and sends each other one to the server, as a setting of the session. So an option
that asyncpg does not know ended every connection, and a pooler refuses most settings at the start of a session. Here an
option of libpq is taken or refused. All others are settings of the server, made once the session has begun.

https://www.postgresql.org/docs/18/libpq-connect.html#LIBPQ-PARAMKEYWORDS
"""

import os
import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from summit_runtime.nats.connection.address import ENCODED

EXAMPLE = "write it as postgresql://user:password@host:port/database"
CONNECT_SECONDS = 5.0

_HOSTS = {"host", "port", "target_session_attrs"}
_LOGIN = {"dbname", "database", "user", "password", "passfile", "service", "krbsrvname", "gsslib"}
_FILES_OF_TLS = {"sslcert", "sslkey", "sslpassword", "sslrootcert", "sslcrl"}
_TLS = {"sslmode", "sslnegotiation", "ssl_min_protocol_version", "ssl_max_protocol_version", *_FILES_OF_TLS}
_OF_THE_DRIVER = frozenset({*_HOSTS, *_LOGIN, *_TLS})
_AT_THE_START = ("application_name", "options")
"""Sent with the request for a session: a pooler takes the first, and reads the second if it can."""

_CHOICES: Mapping[str, tuple[str, ...]] = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "sslnegotiation": ("postgres", "direct"),
    "target_session_attrs": ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
    # asyncpg has no GSSAPI encryption, no channel binding and no compression, and sends the certificate that it has.
    "gssencmode": ("disable", "prefer"),
    "channel_binding": ("disable", "prefer"),
    "sslcompression": ("0",),
    "sslcertmode": ("allow",),
    "sslsni": ("1",),
    "gssdelegation": ("0",),
    "load_balance_hosts": ("disable",),
    "client_encoding": ("auto", "utf8", "UTF8", "utf-8", "UTF-8"),
    "replication": ("false", "off", "no", "0"),
    "min_protocol_version": ("3.0",),
    "max_protocol_version": ("3.0", "3.2", "latest"),
}
_NUMBERS = frozenset({"connect_timeout"})
"""Whole seconds for each host; 0 is our own limit, since nothing here waits for ever."""
_KEEPALIVES = ("keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout")
_WITHOUT_EFFECT = frozenset({*_KEEPALIVES, "fallback_application_name"})
"""Each command has its own time limit, and that notices a connection whose other end is gone."""
_REFUSED = re.compile(
    "hostaddr|require_auth|requirepeer|requiressl|sslcrldir|sslkeylogfile|scram_(client|server)_key|servicefile|oauth_.*"
)


class Address(NamedTuple):
    """What to send where."""

    attempts: tuple[str, ...]
    """An address for the driver for each host, in the order in which to try them."""
    startup: Mapping[str, str]
    """Options of the request for a session."""
    settings: Mapping[str, str]
    """Settings of the server, for the session."""
    connect_seconds: float
    """For one host."""


def parse(url: str) -> Address:
    """Read DATABASE_URL. Raises ValueError with a sentence that names the option and shows no password."""
    parts = _split(url)
    options = _options(parts)
    for name, value in options.items():
        _check(name, value)
    _check_files(options)
    of_the_driver = {name: value for name, value in options.items() if name in _OF_THE_DRIVER}
    known = _OF_THE_DRIVER | _CHOICES.keys() | _NUMBERS | _WITHOUT_EFFECT | {*_AT_THE_START}
    return Address(
        attempts=tuple(_attempts(parts, of_the_driver)),
        startup={name: options[name] for name in _AT_THE_START if name in options},
        settings={name: value for name, value in options.items() if name not in known},
        connect_seconds=float(options.get("connect_timeout", 0)) or CONNECT_SECONDS,
    )


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
    except ValueError:  # brackets that are no IPv6 address
        raise ValueError(EXAMPLE) from None
    if parts.scheme not in ("postgresql", "postgres"):
        raise ValueError(EXAMPLE)
    for host in _hosts(parts):
        port = re.sub(r"^(\[.*\]|[^:]*):?", "", host)
        if not port.isdecimal() and port:  # a piece of a password that was not encoded: asyncpg would show it
            raise ValueError(f"its port is not a number; {EXAMPLE}, {ENCODED}")
    return parts


def _hosts(parts: SplitResult) -> list[str]:
    return parts.netloc.rpartition("@")[2].split(",")


def _options(parts: SplitResult) -> dict[str, str]:
    try:
        return dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
    except ValueError:
        raise ValueError(f"its options after ? are not name=value&name=value; {EXAMPLE}") from None


def _check(name: str, value: str) -> None:
    if _REFUSED.fullmatch(name):
        raise ValueError(f"its option {name} does not work here: remove it")
    if value not in _CHOICES.get(name, (value,)):
        raise ValueError(f"its option {name} can be {' or '.join(_CHOICES[name])} here, not {value!r}")
    if name in _NUMBERS and not value.isdecimal():
        raise ValueError(f"its option {name} is a number of seconds, not {value!r}")


def _check_files(options: Mapping[str, str]) -> None:
    """Open the files of TLS as the driver does, which would fail at each connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for name in ("sslrootcert", "sslcrl"):
        if name in options:
            _opened(name, options[name], lambda path: context.load_verify_locations(cafile=path))
    if "sslcert" in options:
        key, password = options.get("sslkey"), options.get("sslpassword", "")
        _opened("sslcert", options["sslcert"], lambda path: context.load_cert_chain(path, key, lambda: password))
    if options.get("sslmode", "").startswith("verify") and not ("sslrootcert" in options or _has_authorities()):
        raise ValueError(f"its option sslmode={options['sslmode']} needs sslrootcert, the file of the authorities")


def _opened(name: str, path: str, load: Callable[[str], None]) -> None:
    try:
        load(path)
    except OSError as error:  # also an SSLError
        raise ValueError(f"its option {name} names {path!r}, which cannot be used: {error.strerror}") from None


def _has_authorities() -> bool:
    """Whether the file is there that libpq looks for."""
    with suppress(RuntimeError):  # the user has no home
        return bool(os.environ.get("PGSSLROOTCERT")) or (Path.home() / ".postgresql/root.crt").exists()
    return False


def _attempts(parts: SplitResult, options: Mapping[str, str]) -> Iterator[str]:
    """One for each host: of several in one, the first that does not answer would use up the time of all."""
    user, at, _ = parts.netloc.rpartition("@")
    wanted = options.get("target_session_attrs")
    for role in ("standby", "any") if wanted == "prefer-standby" else (wanted,):
        query = urlencode({**options, **({"target_session_attrs": role} if role else {})})
        for host in _hosts(parts):
            yield parts._replace(netloc=f"{user}{at}{host}", query=query).geturl()
