"""Settings of the watcher, by environment."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from summit_runtime.settings import ProcessSettings


class WatcherSettings(ProcessSettings):
    model_config = SettingsConfigDict(env_prefix="WATCHER_")

    config: Path = Field(default=Path("config/datacenters.yaml"), description="Which clusters there are")
    datacenters: Annotated[frozenset[str], NoDecode] = Field(
        default=frozenset(), description="Watch these datacenters only, separated by commas; empty: all"
    )
    probe_host: str = Field(default="127.0.0.1", description="Address of /livez and /readyz")
    probe_port: int = Field(default=0, ge=0, le=65535, description="Port of /livez and /readyz; 0: none")

    @field_validator("datacenters", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return {part.strip() for part in value.split(",") if part.strip()} if isinstance(value, str) else value
