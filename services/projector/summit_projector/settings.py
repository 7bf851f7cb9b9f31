"""Settings of the projector, by environment: `PROJECTOR_…` and what every process with a database has."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from summit_runtime.settings import DatabaseSettings


class ProjectorSettings(DatabaseSettings):
    model_config = SettingsConfigDict(env_prefix="PROJECTOR_")

    batch_events: int = Field(
        default=2000,
        ge=1,
        le=100_000,
        description="At most so many events in one transaction; they and their rows are in memory meanwhile",
    )
    history_months: int = Field(
        default=0, ge=0, le=1200, description="Months of history kept before this one; 0 keeps all of it, for ever"
    )
    probe_host: str = Field(default="127.0.0.1", description="Address of /livez and /readyz")
    probe_port: int = Field(default=0, ge=0, le=65535, description="Port of /livez and /readyz; 0 serves none")
