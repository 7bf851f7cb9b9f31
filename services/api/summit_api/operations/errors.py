"""Why an operation is not stored, or not canceled. `problems` maps each error to an HTTP answer."""

from typing import ClassVar, Literal, get_args

Reason = Literal[
    "alreadyPaused", "alreadyRunning", "alreadyStarting", "alreadyStopping", "bulkActive", "instancetype",
    "migrationActive", "noVirtualMachine", "notAllowed", "notLiveMigratable", "notPaused", "notRunning",
    "operationActive", "paused", "runStrategy", "sameSize", "stopping", "terminating", "unmanaged", "waitsAsReceiver",
]  # fmt: skip
"""Why an operation is refused, for machines."""
COUNTED: tuple[str, ...] = (*get_args(Reason), "notWatched", "keyReused", "tablesBehind", "other")
"""What refusals are counted by."""


class OperationError(Exception):
    """Nothing was stored. The message says why; `members` says it for machines."""

    counted_as: ClassVar[str] = "other"

    def __init__(self, detail: str, **members: object) -> None:
        super().__init__(detail)
        self.members = members

    @property
    def counted(self) -> str:
        """One of COUNTED."""
        return str(self.members.get("reason", self.counted_as))


class RefusedError(OperationError):
    """The state of the VM, or of its cluster, does not allow it."""


class ClusterUnavailableError(OperationError):
    """No watcher has the cluster, so nobody could do it."""

    counted_as = "notWatched"


class KeyReusedError(OperationError):
    """The caller has used the Idempotency-Key for another request."""

    counted_as = "keyReused"


class OperationNotFoundError(OperationError):
    """There is no such operation, as far as the principal may see."""


class OperationEndedError(OperationError):
    """It cannot be canceled any more."""


class OperationAcceptedError(OperationError):
    """The cluster has accepted it, and it cannot be taken back."""


class TablesBehindError(OperationError):
    """The tables do not show the newest operations yet, so what is known beforehand is not known."""

    counted_as = "tablesBehind"


class ListChangedError(OperationError):
    """The VMs that a bulk operation would act on are not those that were confirmed."""


class TooManyVmsError(OperationError):
    """The filters of a bulk operation select more VMs than one may have."""
