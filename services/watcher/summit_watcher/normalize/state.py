"""The state of a VM without Pydantic: made, encoded and compared once for each change of a VM."""

from summit_models.codec import StateCodec, unvalidated
from summit_models.event import VmEvent
from summit_models.vm import Vm

make_vm = unvalidated(Vm)
"""Facts are known to fit, and mypy checks the call."""

_CODEC = StateCodec(Vm, VmEvent)
encoded, decoded, changes = _CODEC.encode, _CODEC.decode, _CODEC.changes
