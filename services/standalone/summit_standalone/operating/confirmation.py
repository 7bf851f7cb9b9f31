"""Questions to a person before something that cannot be undone, or that touches many VMs."""

import sys
from collections.abc import Sequence

from summit_standalone.errors import StandaloneError
from summit_standalone.operating.act import full_name
from summit_standalone.remote.client import Json


def confirm_names(vms: Sequence[Json]) -> None:
    """Ask for the name of each VM before it is deleted. Raises StandaloneError if one is not typed."""
    _need_terminal(f"deleting {', '.join(map(full_name, vms))}")
    for vm in vms:
        where = f"VM {full_name(vm)} in cluster {vm['cluster']}"
        sys.stderr.write(f"This deletes {where} and all that it owns, its disks from templates too.\n")
        if _answer(f"Type {vm['name']} to confirm: ") != vm["name"]:
            raise StandaloneError(f"deleting {full_name(vm)} was not confirmed; nothing was done")


def confirm(question: str) -> None:
    """Raises StandaloneError unless the answer is yes."""
    _need_terminal("this")
    if _answer(f"{question} [y/N] ").lower() not in ("y", "yes"):
        raise StandaloneError("not confirmed; nothing was done")


def _need_terminal(what: str) -> None:
    if not sys.stdin.isatty():
        raise StandaloneError(
            f"{what} needs a confirmation, and there is no terminal to ask at: use --yes; nothing was done"
        )


def _answer(question: str) -> str:
    sys.stderr.write(question)
    sys.stderr.flush()
    return sys.stdin.readline().strip()
