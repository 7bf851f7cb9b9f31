"""The state of the instance in a data directory: `state.json`, which `summit-connect status` and scripts read.

The file is written at each change and readable by its owner only: the addresses hold passwords.
"""

import json
import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from summit_runtime.condition import Condition
from summit_standalone.directory import LOCK, closed, default_data_dir, has_instance
from summit_standalone.embedded.child import Child
from summit_standalone.errors import StandaloneError

logger = logging.getLogger("summit.standalone")

_STATE, _PARTIAL = "state.json", ".state.json.partial"
OWN_FILES = frozenset({LOCK, _STATE, _PARTIAL})
"""The files that every instance makes first."""

TOKEN = "apiToken"  # noqa: S105  the name of the member
"""The fact with which our own commands ask the api; they do not print it."""
NATS_ADMIN = "natsAdminUrl"
"""The address of NATS for commands that change something there; they do not print it either."""


class Instance:
    """The children of this process and the addresses they have; `facts` are added to the file as they are."""

    def __init__(self, data_dir: Path, **facts: str) -> None:
        self.data_dir = data_dir
        self.facts = facts
        self._children: dict[str, Child] = {}
        self._unwritten = Condition(logger)

    def report(self, child: Child) -> None:
        """Write the change of a child into the file."""
        self._children[child.program.name] = child
        self.write()

    def kill(self) -> None:
        """End all children at once."""
        for child in self._children.values():
            child.kill()

    def states(self) -> Mapping[str, str]:
        return {name: child.state for name, child in self._children.items()}

    def write(self) -> None:
        """Write the present state. A full disk makes `status` outdated, and disturbs no child."""
        file = _state_file(self.data_dir)
        try:
            self._write()
        except OSError as error:
            self._unwritten.holds("%s cannot be written (%s): `status` shows an older state", file, error.strerror)
        else:
            self._unwritten.ends("%s can be written again", file)

    def _write(self) -> None:
        processes = [
            {"name": name, "pid": child.pid, "state": child.state, "restarts": child.restarts}
            for name, child in self._children.items()
        ]
        content = {"pid": os.getpid(), "dataDir": str(self.data_dir), **self.facts, "processes": processes}
        partial = self.data_dir / _PARTIAL
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(content, file, indent=2)
        partial.replace(_state_file(self.data_dir))

    def forget(self) -> None:
        """Remove the file: nothing runs any more."""
        with suppress(OSError):  # a disk that became read-only: without the lock the file counts for nothing
            _state_file(self.data_dir).unlink(missing_ok=True)


def read_state(data_dir: Path | None) -> dict[str, Any]:
    """The state of the instance in `data_dir`; by default of a served one, else of a demo.

    Raises StandaloneError when none runs there, or we may not look.
    """
    places = [data_dir] if data_dir else [default_data_dir(), demo_data_dir()]
    for place in places:
        # The lock is held for a moment before the file exists and after it is removed.
        if has_instance(place) and (content := _read(_state_file(place))):
            state: dict[str, Any] = json.loads(content)
            return state
    raise StandaloneError(
        f"nothing runs with data directory {places[0]}: start it with `summit-connect serve backend` or "
        "`summit-connect demo`, or name its directory with --data-dir"
    )


def nats_admin_url(state: Mapping[str, Any]) -> str:
    """The address of NATS for an administrator."""
    return str(state.get(NATS_ADMIN) or state["natsUrl"])  # an instance of before has one user only


def demo_data_dir() -> Path:
    """Beside the real data, which a demo must not touch."""
    return default_data_dir() / "demo"


def _read(file: Path) -> str | None:
    try:
        return file.read_text()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise closed(file, error) from error


def _state_file(data_dir: Path) -> Path:
    return data_dir / _STATE
