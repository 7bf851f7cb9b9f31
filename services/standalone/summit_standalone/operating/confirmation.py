"""Questions to a person before something that cannot be undone, or that touches many VMs."""

import sys
from collections.abc import Sequence

from summit_standalone.errors import StandaloneError
from summit_standalone.operating.act import full_name
from summit_standalone.remote.client import Json


def confirm_names(vms: Sequence[Json]) -> None:
    """Ask for the name of each VM before it is deleted. Raises StandaloneError if one is not typed."""
    need_terminal(f"deleting {', '.join(map(full_name, vms))}")
    for vm in vms:
        where = f"VM {full_name(vm)} in cluster {vm['cluster']}"
        sys.stderr.write(f"This deletes {where} and all that it owns, its disks from templates too.\n")
        confirm_text(vm["name"], f"deleting {full_name(vm)}")


def confirm_text(text: str, what: str) -> None:
    """Raises StandaloneError unless exactly this is typed."""
    if _answer(f"Type {text} to confirm: ") != text:
        raise StandaloneError(f"{what} was not confirmed; nothing was done")


def confirm(question: str, what: str) -> None:
    """Raises StandaloneError unless the answer is yes."""
    if _answer(f"{question} [y/N] ").lower() not in ("y", "yes"):
        raise StandaloneError(f"{what} was not confirmed; nothing was done")


def need_terminal(what: str) -> None:
    """Raises StandaloneError if nobody can answer."""
    if not sys.stdin.isatty():
        raise StandaloneError(
            f"{what} needs a confirmation, and there is no terminal to ask at: use --yes; nothing was done"
        )


def _answer(question: str) -> str:
    sys.stderr.write(question)
    sys.stderr.flush()
    return sys.stdin.readline().strip()
