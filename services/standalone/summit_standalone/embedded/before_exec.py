"""Steps of a child between fork and exec: become another user, and ask to end when its parent does.

Linux only, by prctl(2) and capabilities(7); elsewhere a child whose parent was killed runs on until the next start
finds it by its lock (see `server_process`).
"""

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_SECUREBITS: Final = 28
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_RAISE: Final = 2
_SECBIT_NO_SETUID_FIXUP: Final = 1 << 2
_CAP_DAC_READ_SEARCH: Final = 2
_LINUX_CAPABILITY_VERSION_3: Final = 0x20080522


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapabilitySets(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


# Loaded before any fork: a child must not load libraries.
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None
if _libc is not None:
    _libc.prctl.argtypes = (ctypes.c_int, *(ctypes.c_ulong,) * 4)


def before_exec(death_signal: signal.Signals, user: int | None = None) -> Callable[[], None]:
    """A `preexec_fn`: run as `user` (only root may ask for that), and get `death_signal` when the parent ends."""
    parent = os.getpid()

    def prepare() -> None:
        if user is not None:
            _become(user)
        if _libc is None:
            return
        _libc.prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)  # last: a change of user clears it
        if os.getppid() != parent:  # the parent ended before it could be asked for
            os.kill(os.getpid(), signal.SIGKILL)

    return prepare


def _become(user: int) -> None:
    """Give up root for a user without rights, who may still read files, for example in a venv below /root.

    It may read everything and write only what it owns: a superuser of the database may run programs as this user.
    The alternative, opening every directory above to all users, would outlive us. Where the kernel refuses
    (a container without CAP_SETPCAP), the user has only its own rights.
    """
    if _libc is not None:
        # Without it, changing the user clears the capabilities, and access(2) asks for the rights of the real user.
        _libc.prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    if _libc is not None:
        bit = 1 << _CAP_DAC_READ_SEARCH
        header = _CapabilityHeader(_LINUX_CAPABILITY_VERSION_3, 0)
        low_and_high = (_CapabilitySets * 2)(_CapabilitySets(bit, bit, bit), _CapabilitySets(0, 0, 0))
        _libc.capset(ctypes.byref(header), low_and_high)
        _libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_READ_SEARCH, 0, 0)
