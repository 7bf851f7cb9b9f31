"""Why an edit cannot be made. `problems` maps each kind to an HTTP answer; nothing here knows HTTP."""


class EditError(Exception):
    """The edit was not made. The message says why and what to do."""


class DatacenterNotFoundError(EditError):
    """There is no such datacenter, as far as the principal may see."""


class VmNotFoundError(EditError):
    """There is no such VM, as far as the principal may see."""


class IdInUseError(EditError):
    """Another VM has the id."""


class ChangedMeanwhileError(EditError):
    """The log has something newer than what the edit was made from."""


class LogUnavailableError(EditError):
    """NATS has not confirmed the edit."""
