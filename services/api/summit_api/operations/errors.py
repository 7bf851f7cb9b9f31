"""Why an operation is not stored, or not canceled. `problems` maps each error to an HTTP answer."""


class OperationError(Exception):
    """Nothing was stored. The message says why; `members` says it for machines."""

    def __init__(self, detail: str, **members: object) -> None:
        super().__init__(detail)
        self.members = members


class RefusedError(OperationError):
    """The state of the VM, or of its cluster, does not allow it."""


class ClusterUnavailableError(OperationError):
    """No watcher has the cluster, so nobody could do it."""


class KeyReusedError(OperationError):
    """The caller has used the Idempotency-Key for another request."""


class OperationNotFoundError(OperationError):
    """There is no such operation, as far as the principal may see."""


class OperationEndedError(OperationError):
    """It cannot be canceled any more."""


class OperationAcceptedError(OperationError):
    """The cluster has accepted it, and it cannot be taken back."""


class TablesBehindError(OperationError):
    """The tables do not show the newest operations yet, so what is known beforehand is not known."""
