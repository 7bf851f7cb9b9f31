"""Bodies of actions, and how long each may take.

Unlike in an edit an unknown member is rejected: who misspells `gracePeriodSeconds` does not want the default.
"""

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

from summit_models.operation import Action

MAX_SECONDS = 86_400
"""A day: an operation that is still pending then was forgotten."""
MAX_LABELS = 50

_NAME = r"[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?"
_Label = Annotated[str, StringConstraints(max_length=317, pattern=rf"^(?:[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?/)?{_NAME}$")]
"""A label's key: a prefix of 253 characters, a slash, a name of 63 (Kubernetes' `IsQualifiedName`)."""
_Value = Annotated[str, StringConstraints(max_length=63, pattern=rf"^(?:{_NAME})?$")]
"""A label's value (`IsValidLabelValue`). Any other text is refused here: Postgres takes no NUL."""
_Grace = Annotated[int, Field(ge=0, le=MAX_SECONDS)]


class Options(BaseModel):
    """The body of an action."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")

    timeout: int | None = Field(
        default=None,
        ge=1,
        le=MAX_SECONDS,
        description="Seconds until it fails if it has not ended, or expires if no watcher has begun it",
        examples=[600],
    )

    def parameters(self) -> dict[str, JsonValue]:
        """The given members by their JSON names."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class StartOptions(Options):
    paused: bool | None = Field(default=None, description="Start the guest paused, before its first instruction")


class StopOptions(Options):
    grace_period_seconds: _Grace | None = Field(
        default=None, description="Time for the guest to shut down; the default is the VM's own"
    )
    force: bool | None = Field(default=None, description="Do not wait for the guest: a grace period of 0")

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.force and self.grace_period_seconds:
            raise ValueError("force is a grace period of 0: leave out one of force and gracePeriodSeconds")
        return self


class RestartOptions(StopOptions):
    grace_period_seconds: Annotated[int, Field(ge=0, le=0)] | None = Field(
        default=None, description="0 or nothing: KubeVirt takes no other one for a restart", examples=[0]
    )


class MigrateOptions(Options):
    node_selector: dict[_Label, _Value] | None = Field(
        default=None,
        max_length=MAX_LABELS,
        description="Labels of the node that it may go to, beside what the VM itself demands (KubeVirt 1.6 and newer)",
        examples=[{"topology.kubernetes.io/zone": "b"}],
    )


class ResizeOptions(Options):
    cpu: Annotated[int, Field(ge=1, le=710)] | None = Field(
        default=None, description="Virtual CPUs, in whole sockets of the VM", examples=[4]
    )
    memory: Annotated[int, Field(ge=1, le=2**30)] | None = Field(
        default=None, description="Guest memory in MiB", examples=[8192]
    )

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.cpu is None and self.memory is None:
            raise ValueError("name cpu, memory or both")
        return self


BODIES: Mapping[Action, type[Options]] = {
    **dict.fromkeys(Action, Options),
    Action.START: StartOptions,
    Action.STOP: StopOptions,
    Action.RESTART: RestartOptions,
    Action.MIGRATE: MigrateOptions,
    Action.RESIZE: ResizeOptions,
    Action.DELETE: StopOptions,
}

DRY_RUN_SECONDS = 20
"""A dry run is one request to Kubernetes, and its answer is waited for."""

_SECONDS: Mapping[Action, int] = {
    Action.START: 600,  # a node may have to load an image of some GiB
    Action.STOP: 600,  # KubeVirt gives a guest 180 s, Windows with updates needs more
    Action.RESTART: 900,
    Action.PAUSE: 60,
    Action.UNPAUSE: 60,
    Action.SOFTREBOOT: 300,
    Action.RESET: 120,
    Action.MIGRATE: 3600,  # KubeVirt allows 150 s per GiB, and others may be before it
    Action.RESIZE: 1800,  # a live resize is a migration
    Action.DELETE: 900,
}


def timeout_seconds(action: Action, options: Options, *, dry_run: bool) -> int:
    """How long it may take. A grace period comes on top of the default."""
    if dry_run:
        return DRY_RUN_SECONDS
    grace = options.grace_period_seconds if isinstance(options, StopOptions) else None
    return options.timeout or min(_SECONDS[action] + (grace or 0), MAX_SECONDS)
