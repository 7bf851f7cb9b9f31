"""Settings by environment only, one class per service; a wrong or unknown variable stops the start, with its name."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, Self, get_args

from pydantic import ByteSize, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from summit_runtime.nats.connection import address
from summit_runtime.nats.connection.login import Login, LoginError
from summit_runtime.nats.connection.storage import Storage
from summit_runtime.postgres import address as postgres_address
from summit_runtime.watched_files import read_limited


class SettingsError(Exception):
    """A setting is missing or wrong; the sentence names the variable."""


class ProcessSettings(BaseSettings):
    """Settings every process has. A service's own variables carry its prefix, for example `WATCHER_`."""

    # docker compose passes on what is not set as an empty value
    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True)

    nats_url: SecretStr = Field(
        default=SecretStr("nats://127.0.0.1:4222"),
        validation_alias="NATS_URL",
        description="NATS servers, separated by commas, with user and password if they need them",
    )
    nats_creds: Path | None = Field(
        default=None, validation_alias="NATS_CREDS", description="File with the JWT and the key of a user of NATS"
    )
    nats_nkey: Path | None = Field(
        default=None, validation_alias="NATS_NKEY", description="File with the key (seed) of a user of NATS"
    )
    nats_ca: Path | None = Field(
        default=None, validation_alias="NATS_CA", description="Authorities that NATS' certificate may be issued by"
    )
    nats_cert: Path | None = Field(default=None, validation_alias="NATS_CERT", description="Client certificate")
    nats_key: Path | None = Field(
        default=None, validation_alias="NATS_KEY", description="Key of the client certificate"
    )
    nats_replicas: int | None = Field(
        default=None,
        ge=1,
        le=5,
        validation_alias="NATS_REPLICAS",
        description="On how many servers of a NATS cluster a stream or bucket is made; one that exists stays as it is",
    )
    nats_max_bytes: ByteSize | None = Field(
        default=None,
        ge=100_000_000,
        validation_alias="NATS_MAX_BYTES",
        description="Size with which the log is made; when it is full, the oldest events go",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", validation_alias="LOG_LEVEL")
    log_format: Literal["text", "json"] = Field(default="text", validation_alias="LOG_FORMAT")

    @field_validator("nats_url")
    @classmethod
    def _of_nats(cls, value: SecretStr) -> SecretStr:
        """Refuse it at the start; otherwise the process would wait for it like for a server that is away."""
        address.parse(value.get_secret_value())
        return value

    @model_validator(mode="after")
    def _usable_files(self) -> Self:
        """Refuse them at the start; a file that breaks later is the reason why NATS cannot be reached."""
        try:
            self.nats_login.check()
        except LoginError as error:
            raise ValueError(str(error)) from error
        return self

    @property
    def nats_login(self) -> Login:
        """What is shown to NATS beside NATS_URL."""
        return Login(
            creds=self.nats_creds, nkey=self.nats_nkey, ca=self.nats_ca, cert=self.nats_cert, key=self.nats_key
        )

    @property
    def nats_storage(self) -> Storage:
        """How the stream and the buckets are made."""
        return Storage(self.nats_replicas, self.nats_max_bytes)

    def __str__(self) -> str:
        """The variables that are set, for the log; without passwords, and with other secrets masked."""
        are_set = [name for name in type(self).model_fields if name in self.model_fields_set]
        return " ".join(f"{self._variable(name)}={_shown(name, getattr(self, name))}" for name in are_set)

    @classmethod
    def _variable(cls, name: str) -> str:
        alias = cls.model_fields[name].validation_alias
        return alias if isinstance(alias, str) else (cls.model_config.get("env_prefix") or "") + name.upper()

    @classmethod
    def from_environment(cls, **given: SecretStr) -> Self:
        """Read the settings of this process; `given` replaces variables of the environment.

        Raises SettingsError for a missing or malformed variable and for one with the service's prefix that does not
        exist: pydantic-settings would ignore a misspelt name. A secret may be in a file, see `secrets_of_files`.
        """
        prefix = cls.model_config.get("env_prefix") or ""
        known = {cls._variable(name) for name, field in cls.model_fields.items() if not field.validation_alias}
        secrets = cls._secrets()
        files = {variable + IN_FILE for variable in secrets}
        unknown = sorted(v for v in os.environ if prefix and v.startswith(prefix) and v not in known | files)
        if unknown:
            raise SettingsError(f"unknown variable {unknown[0]!r}; known are {', '.join(sorted(known))}")
        read = secrets_of_files(secrets.keys() - given.keys())
        try:
            return cls(**{secrets[variable]: value for variable, value in read.items()} | given)  # type: ignore[arg-type]
        except ValidationError as error:
            raise SettingsError(_sentence(error, prefix, read.keys())) from error

    @classmethod
    def _secrets(cls) -> dict[str, str]:
        """The settings that are secrets, by variable: the name under which pydantic takes each."""
        return {
            cls._variable(name): str(field.validation_alias or name)
            for name, field in cls.model_fields.items()
            if SecretStr in (field.annotation, *get_args(field.annotation))
        }


IN_FILE = "_FILE"
MOST_SECRET_BYTES = 64 * 1024
"""Somebody may name `/dev/zero` or a disk image."""


def secrets_of_files(variables: Iterable[str]) -> dict[str, str]:
    """Read the secrets whose files the environment names, by variable: NATS_URL from the file of NATS_URL_FILE.

    So do the official images, and files are what docker and Kubernetes make of secrets. The SecretsSettingsSource of
    pydantic-settings reads files that have the names of settings, of one directory, and an environment variable would
    win over its file silently. The end of the last line does not count. Raises SettingsError for a secret that is given
    twice, and for a file that cannot be read or is empty.
    """
    return {name: _secret(name, path) for name in sorted(variables) if (path := os.environ.get(name + IN_FILE))}


def _secret(name: str, path: str) -> str:
    if os.environ.get(name):
        raise SettingsError(f"{name} and {name}{IN_FILE} are both set: remove one of them")
    try:
        secret = read_limited(Path(path), MOST_SECRET_BYTES).decode().rstrip("\r\n")
    except OSError as error:
        raise SettingsError(f"variable {name}{IN_FILE}: {path!r} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise SettingsError(f"variable {name}{IN_FILE}: {path!r} is not UTF-8 text") from None
    if not secret:
        raise SettingsError(f"variable {name}{IN_FILE}: {path!r} is empty")
    if "\n" in secret:
        raise SettingsError(f"variable {name}{IN_FILE}: {path!r} has several lines: leave one")
    return secret


def _sentence(error: ValidationError, prefix: str, in_files: Iterable[str]) -> str:
    """Name the problem and the variable; an error about several variables names them itself."""
    wrong = error.errors()[0]
    problem = str(wrong["msg"]).removeprefix("Value error, ")
    if not wrong["loc"]:
        return problem
    name = str(wrong["loc"][0])
    variable = name if name.isupper() else prefix + name.upper()
    return f"variable {variable}{IN_FILE if variable in in_files else ''}: {problem}"


def public_address(url: str) -> str:
    """Remove user and password, for each server in a list; NATS accepts a token as the user.

    Remove the options too: Postgres accepts a password there.
    """
    return _CREDENTIALS.sub("", url).partition("?")[0]


_CREDENTIALS = re.compile(r"(?:(?<=://)|^(?!\w+://))(?:(?!,\s*\w+://).)*@", re.DOTALL)
"""All up to the last @ of an address: a password that nobody encoded may contain any character."""


def _shown(name: str, value: object) -> str:
    if isinstance(value, SecretStr):
        return public_address(value.get_secret_value()) if name.endswith("_url") else "***"
    if isinstance(value, frozenset):
        return ",".join(sorted(value))
    return ",".join(value) if isinstance(value, tuple) else str(value)


class DatabaseSettings(ProcessSettings):
    """Settings of a process that has a database."""

    database_url: SecretStr = Field(
        validation_alias="DATABASE_URL",
        description="postgresql://user:password@host:port/database?search_path=…",
    )

    @field_validator("database_url")
    @classmethod
    def _of_postgres(cls, value: SecretStr) -> SecretStr:
        """Refuse it at the start; otherwise the process would wait for it like for a server that is away."""
        postgres_address.parse(value.get_secret_value())
        return value
