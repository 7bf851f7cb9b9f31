"""Settings of the projector: by environment what differs between installations, and its times, which do not.

`serve` passes the times down whole. Nothing below it has a time of its own, so a test chooses other ones by value.
"""

from dataclasses import dataclass
from typing import Self

from pydantic import Field, SecretStr, model_validator
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
        default=12, ge=0, le=1200, description="Months of history kept before this one; 0 keeps all of it, for ever"
    )
    reader: str | None = Field(default=None, description="A user of Postgres that may only read the tables: the api's")
    reader_password: SecretStr | None = Field(default=None, description="With it, that user is made if it is not there")
    probe_host: str = Field(default="127.0.0.1", description="Address of /livez and /readyz")
    probe_port: int = Field(default=0, ge=0, le=65535, description="Port of /livez and /readyz; 0 serves none")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.reader_password and not self.reader:
            raise ValueError("PROJECTOR_READER_PASSWORD needs PROJECTOR_READER, the user whose password it is")
        return self


@dataclass(frozen=True, kw_only=True)
class ProjectorTimes:
    """Times of the projector that nobody needs to set."""

    standby_seconds: float = 0.5
    """How long a projector that waits for the lock takes at most to see that it is free."""
    silent_seconds: float = 2.5
    """A projector that applies events stands still if it has asked Postgres nothing for so long, and for the time that
    its largest batch takes besides. Another one that stands by takes its place, within five seconds in all."""
    stop_seconds: float = 2.5
    """The batch under way is committed within this, or left to the next start. `summit-connect` waits for 3.5 s."""
    lock_seconds: float = 10.0
    """After this time the log names a table that somebody else has locked. Postgres itself would wait for ever, without
    a line in any log."""
    check_seconds: float = 1.0
    """How often the projector looks whether the stream still is the same and Postgres answers, when nothing happens.
    Twice within `silent_seconds`."""
    retention_seconds: float = 600.0
    """How long after its start the projector drops the months that are too old, and how soon it tries again while a
    backup reads them. What is dropped is gone: a machine that was switched on with a wrong clock has set it by then."""
    stale_quiet_seconds: float = 120.0
    """When no event of a stale epoch has come for so long, the log says that it is over: a watcher that was cut off
    publishes at its next heartbeat or change, and a begin and an end for each of these would fill the log."""
    gather_seconds: float = 0.025
    """After a batch of `BUSY_EVENTS` the next one may grow for so long. This is far below the 150 ms that a busy time
    may take."""
    event_seconds: float = 20.0
    """How long to wait for an event that the stream had a moment ago. A transaction is open meanwhile, which Postgres
    ends after 30 s."""
    look_seconds: float = 0.5
    """How often a replacement looks whether the stream has its first event, or its last cluster."""
    settle_seconds: float = 2.0
    """When a watcher has published that its cluster is synced, all its VMs are in the stream within this time."""
    patience_seconds: float = 60.0
    """How long a replacement waits for clusters that the tables show and the stream does not have yet. Watchers notice
    within seconds that the stream was replaced. A cluster whose watcher is away for longer is shown again later."""


TIMES = ProjectorTimes()
