"""The body of a request for an operation on many VMs."""

from functools import cached_property
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from pydantic.alias_generators import to_camel

from summit_api.operations.payloads import BODIES, Options, timeout_seconds
from summit_models.operation import Action

MAX_PARALLEL = 1000
"""The messages that NATS stores in one batch at most."""
DAY_SECONDS = 86_400
LONGEST_SECONDS = 7 * DAY_SECONDS
"""A week: an operation that is still under way then was forgotten. The log keeps its steps for much longer."""

_MIGRATES = frozenset({Action.MIGRATE, Action.RESIZE})
"""A live resize is a migration. KubeVirt runs 5 per cluster and 2 per node by default (`migrations` of its
configuration); more would only wait there."""

_Parallel = Annotated[int, Field(ge=1, le=MAX_PARALLEL)]


class BulkRequest(BaseModel):
    """What to do to all VMs that the filters of the address select, and within which limits."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")

    action: Action = Field(examples=[Action.MIGRATE])
    parameters: dict[str, JsonValue] = Field(
        default={}, description="The body of the action on one VM", examples=[{"timeout": 1800}]
    )
    max_parallel_per_cluster: _Parallel | None = Field(
        default=None,
        description="VMs under way at once in one cluster; the default is 5 for migrate and resize, else 10",
    )
    max_parallel_per_node: _Parallel | None = Field(
        default=None,
        description="VMs under way at once that are on one node; the default is 2 for migrate and resize, else 5",
    )
    max_failures: Annotated[int, Field(ge=1)] | None = Field(
        default=5, description="No further VM begins once so many have failed or expired; null: however many there are"
    )
    timeout: Annotated[int, Field(ge=1, le=LONGEST_SECONDS)] = Field(
        default=DAY_SECONDS, description="Seconds after which no further VM begins"
    )
    confirm: str | None = Field(
        default=None, max_length=100, description="`confirm` of the answer without it, to have it done"
    )

    @cached_property
    def options(self) -> Options:
        """Those of the action. Raises ValidationError."""
        return BODIES[self.action].model_validate(self.parameters, strict=True)

    @property
    def timeout_seconds(self) -> int:
        """Of the operation on one VM."""
        return timeout_seconds(self.action, self.options, dry_run=False)

    @property
    def per_cluster(self) -> int:
        return self.max_parallel_per_cluster or (5 if self.action in _MIGRATES else 10)

    @property
    def per_node(self) -> int:
        return self.max_parallel_per_node or (2 if self.action in _MIGRATES else 5)
