"""Settings of the api: environment variables only, prefix `API_`; and times that only tests change."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from summit_api.access import tokens
from summit_api.access.pages import ANY, is_loopback
from summit_api.query.inventory import label_name
from summit_runtime.nats.connection.bus import TIMES as NATS_TIMES
from summit_runtime.nats.connection.bus import NatsTimes
from summit_runtime.nats.streams.stream import MAX_AGE_SECONDS
from summit_runtime.nats.streams.unapplied import LATE_SECONDS
from summit_runtime.settings import DatabaseSettings

Seconds = Annotated[float, Field(ge=0.001, le=86_400, allow_inf_nan=False)]
"""Postgres takes whole milliseconds, of which 0 would be no limit, and none beyond 24 days."""

_ROOT_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+")
"""Nothing in it needs an encoding, or could end a header."""


@dataclass(frozen=True)
class ApiTimes:
    """Times of the api that nobody needs to set."""

    applied_seconds: float = 5.0
    """How long a request waits for a revision. An active projector needs milliseconds; when another takes over, a few
    seconds."""
    look_seconds: float = 5.0
    """The checkpoint is read this often without a notification, so that a vanished server is noticed."""
    standby_look_seconds: float = 0.05
    """The same on a standby, which sends no notifications: it costs Postgres one look into an index."""
    heartbeat_seconds: float = 15.0
    """Below the idle timeouts of common proxies, the shortest of which are 30 s; the HTML standard advises it."""
    admission_seconds: float = 15.0
    """How long a feed may outlive its token."""
    ticket_feed_seconds: float = 3600.0
    """How long a feed opened by a ticket lasts: a ticket does not show whether its token is still valid. Its page gets
    another one."""
    snapshot_seconds: float = 60.0
    """For the list that a feed begins with. 100 000 VMs are 120 MB; a slower client reads lists page by page."""
    staleness_seconds: float = 1.0
    """How often the feed looks for clusters that have become stale, which takes 90 s."""
    lag_look_seconds: float = 10.0
    """How often the api compares the tables with the end of the log, as often as watchers report."""
    late_seconds: float = LATE_SECONDS
    """Age at which an event that the tables do not have shows that the projector does not follow."""
    repeat_after_seconds: float = MAX_AGE_SECONDS / 3
    """Age at which an edit is published again, before it ages out of the log; watchers do the same."""
    repeat_check_seconds: float = 60.0
    """Pause between two looks for such edits: each reads a small index, and a lost log is filled soon."""
    expiry_seconds: float = 5.0
    """Pause between two looks for operations that are overdue: each reads a small index."""
    abandoned_seconds: float = 900.0
    """How long after its deadline an operation that runs is given up. Its watcher ends it at the deadline, so nobody
    has it; but a watcher without NATS may come back, and knows more."""
    bulk_rest_seconds: float = 0.02
    """Pause after each step of the bulk operations: what the watchers report meanwhile is handled in one step."""
    bulk_look_seconds: float = 5.0
    """A step is made this often without a change in the tables: for deadlines, and clusters that are watched again."""
    dry_run_seconds: float = 25.0
    """How long a dry run is waited for: less than the 30 s that a request may take."""
    nats: NatsTimes = NATS_TIMES


class Settings(DatabaseSettings):
    # docker compose passes on what is not set as an empty value
    model_config = SettingsConfigDict(env_prefix="API_", env_ignore_empty=True)

    host: str = Field(default="127.0.0.1", description="Address to listen on; 0.0.0.0 in a container")
    port: int = Field(default=3001, ge=0, le=65535, description="0 takes a free port and logs it")
    root_path: str = Field(
        default="", description="Path below which a proxy serves the api, such as /summit; the proxy takes it away"
    )
    feed_buffer_mib: int = Field(
        default=32, ge=1, description="Memory for changes that clients of the feed may still take; 32 are about 8 000"
    )

    anonymous_role: Literal["none", "viewer", "operator", "admin"] = Field(
        default="none", description="Role of requests without a token"
    )
    access_file: Path | None = Field(default=None, description="Tokens and groups; read again when it changes")
    admin_token: SecretStr | None = Field(default=None, description="A token of an admin, besides those of the file")
    ticket_key: SecretStr | None = Field(
        default=None, min_length=32, description="Key that signs the tickets of feeds; the same in all replicas"
    )
    origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(ANY,), description="Web pages that may read answers, by origin; * is any"
    )

    oidc_issuer: str | None = Field(default=None, description="Issuer whose JWTs are accepted, as in their `iss`")
    oidc_audience: str | None = Field(default=None, description="Audience that `aud` must contain")
    oidc_name_claim: str = Field(default="sub", description="Claim with the name of a person")
    oidc_groups_claim: str = Field(default="groups", description="Claim with the groups of a person")

    body_bytes: int = Field(default=1_000_000, gt=0, description="Maximum size of a request's body")
    head_bytes: int = Field(default=65_536, ge=1024, description="Maximum size of a request's address and headers")
    head_seconds: Seconds = Field(default=10, description="Time for a client to send the head of a request")
    stalled_seconds: Seconds = Field(
        default=30, description="Time after which a client that does not read its answer is disconnected"
    )
    request_seconds: Seconds = Field(default=30, description="Time until an answer begins")
    query_seconds: Seconds = Field(default=10, description="Time for one query")
    concurrent_requests: int = Field(
        default=500, gt=0, description="Maximum number of requests under way, for all clients together"
    )

    client_requests_per_second: float = Field(
        default=100, ge=0, allow_inf_nan=False, description="Average rate of one client; 0 is no limit"
    )
    client_burst: int = Field(default=500, gt=0, description="Number of requests that one client may send at once")
    client_requests: int = Field(
        default=50, ge=0, description="Maximum number of requests under way of one client; 0 is no limit"
    )
    client_feeds: int = Field(
        default=100, ge=0, description="Maximum number of open feeds of one client; 0 is no limit"
    )

    inventory_series: int = Field(
        default=0, ge=0, description="Maximum number of series of /metrics/inventory; 0: it is not there"
    )
    inventory_labels: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Labels of VMs that these series have"
    )

    @field_validator("origins", "inventory_labels", mode="before")
    @classmethod
    def _separated(cls, value: object) -> object:
        return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value

    @field_validator("inventory_labels")
    @classmethod
    def _distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        names = [label_name(label) for label in value]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"two labels would both be {min(twice)} for Prometheus: leave one of them out")
        return value

    @field_validator("root_path")
    @classmethod
    def _a_path(cls, value: str) -> str:
        path = value.rstrip("/")
        if path and not _ROOT_PATH.fullmatch(path):
            raise ValueError("it is a path as in the address of the proxy, such as /summit")
        return path

    @field_validator("admin_token")
    @classmethod
    def _random(cls, value: SecretStr | None) -> SecretStr | None:
        if value and not tokens.is_token(value.get_secret_value()):
            raise ValueError("it must be a token as `summit-connect token new` makes them: summit_ and 43 letters")
        return value

    @field_validator("oidc_issuer")
    @classmethod
    def _encrypted(cls, value: str | None) -> str | None:
        """Somebody who can change the keys on their way could sign any token."""
        parts = urlsplit(value or "")
        if value and parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
            raise ValueError("an issuer is an https:// address")
        return value

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.oidc_issuer and not (self.oidc_audience and self.access_file):
            raise ValueError(
                "API_OIDC_ISSUER needs API_OIDC_AUDIENCE, so that tokens for other services are rejected, and "
                "API_ACCESS_FILE, which says what its groups may do"
            )
        return self
