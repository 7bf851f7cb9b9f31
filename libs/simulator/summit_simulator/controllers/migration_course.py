"""The course that live migrations take from now on; a test sets another one, the controller reads it at each step."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MigrationCourse:
    failure: str | None = None  # the failureReason of every migration that ends
    is_stalled: bool = False  # the copy makes no progress, until KubeVirt gives up after its progress timeout
    ignores_abort: bool = False  # an abort comes too late: abortStatus Failed, and the migration succeeds
    quota: str | None = None  # a ResourceQuota refuses the target pod with this message: the migration stays Pending
