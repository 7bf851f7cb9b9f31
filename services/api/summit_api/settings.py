"""Settings of the api: environment variables only, prefix `API_`."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from summit_runtime.settings import DatabaseSettings


class Settings(DatabaseSettings):
    model_config = SettingsConfigDict(env_prefix="API_")

    host: str = Field(default="127.0.0.1", description="Address to listen on; 0.0.0.0 in a container")
    port: int = Field(default=3001, ge=0, le=65535, description="0 takes a free port and logs it")
