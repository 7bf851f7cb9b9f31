"""Settings by environment only, one class per service; a wrong or unknown variable stops the start, with its name."""

import os
import re
from typing import Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class SettingsError(Exception):
    """A setting is missing or wrong; the sentence names the variable."""


class ProcessSettings(BaseSettings):
    """Settings every process has. A service's own variables carry its prefix, for example `WATCHER_`."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    nats_url: SecretStr = Field(
        default=SecretStr("nats://127.0.0.1:4222"),
        validation_alias="NATS_URL",
        description="NATS server, with user and password if it needs them",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", validation_alias="LOG_LEVEL")
    log_format: Literal["text", "json"] = Field(default="text", validation_alias="LOG_FORMAT")

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
        exist: pydantic-settings would ignore a misspelt name.
        """
        prefix = cls.model_config.get("env_prefix") or ""
        known = {cls._variable(name) for name, field in cls.model_fields.items() if not field.validation_alias}
        unknown = sorted(v for v in os.environ if prefix and v.startswith(prefix) and v not in known)
        if unknown:
            raise SettingsError(f"unknown variable {unknown[0]!r}; known are {', '.join(sorted(known))}")
        try:
            return cls(**given)  # type: ignore[arg-type]
        except ValidationError as error:
            raise SettingsError(_sentence(error, prefix)) from error


def _sentence(error: ValidationError, prefix: str) -> str:
    """Name the problem and the variable; an error about several variables names them itself."""
    wrong = error.errors()[0]
    problem = str(wrong["msg"]).removeprefix("Value error, ")
    if not wrong["loc"]:
        return problem
    name = str(wrong["loc"][0])
    return f"variable {name if name.isupper() else prefix + name.upper()}: {problem}"


def public_address(url: str) -> str:
    """Remove user and password, for each server in a list; NATS accepts a token as the user.

    Remove the options too: Postgres accepts a password there.
    """
    return re.sub(r"[^/,]*@", "", url).partition("?")[0]


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
        if not value.get_secret_value().startswith(("postgresql://", "postgres://")):
            raise ValueError("write it as postgresql://user:password@host:port/database")
        return value
