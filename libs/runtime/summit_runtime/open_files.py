"""How many files a process may have open: each connection is one.

Shells and systemd allow 1024, for programs that use select(2), and let each program raise that. Go programs do so by
themselves.
"""

import contextlib
import resource

ENOUGH = 65_536
"""A watched cluster has six connections, and up to a hundred while operations run; a client of the api has one. Far
above it, old programs are slow that close every number before they begin, and a credential plugin may be one.
"""


def allow_many() -> None:
    """Raise the limit of this process, and of the children that it will have, as far as the machine allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(ENOUGH, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):  # macOS has another limit below
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
