"""What runs now in a data directory, as `state.json` tells it to `summit-connect status` and to scripts.

The file is written at each change and readable by its owner only: the address of the database holds its password.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from summit_standalone.child import Child
from summit_standalone.directory import default_data_dir, has_instance
from summit_standalone.errors import StandaloneError


class Instance:
    """The children of this process and the addresses they have; `facts` are added to the file as they are."""

    def __init__(self, data_dir: Path, **facts: str) -> None:
        self.data_dir = data_dir
        self.facts = facts
        self._children: dict[str, Child] = {}

    def report(self, child: Child) -> None:
        """Take note of a child's change."""
        self._children[child.program.name] = child
        self.write()

    def kill(self) -> None:
        """End all children at once."""
        for child in self._children.values():
            child.kill()

    def states(self) -> Mapping[str, str]:
        return {name: child.state for name, child in self._children.items()}

    def write(self) -> None:
        processes = [
            {"name": name, "pid": child.pid, "state": child.state, "restarts": child.restarts}
            for name, child in self._children.items()
        ]
        content = {"pid": os.getpid(), "dataDir": str(self.data_dir), **self.facts, "processes": processes}
        partial = self.data_dir / ".state.json.partial"
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(content, file, indent=2)
        partial.replace(_state_file(self.data_dir))

    def forget(self) -> None:
        """Nothing runs any more."""
        _state_file(self.data_dir).unlink(missing_ok=True)


def read_state(data_dir: Path | None) -> dict[str, Any]:
    """The state of the instance in `data_dir`; by default of a served one, else of a demo.

    Raises StandaloneError when none runs there.
    """
    places = [data_dir] if data_dir else [default_data_dir(), demo_data_dir()]
    for place in places:
        # It holds the lock for a moment before the file is there, and after it is removed.
        if has_instance(place) and _state_file(place).exists():
            state: dict[str, Any] = json.loads(_state_file(place).read_text())
            return state
    raise StandaloneError(
        f"nothing runs with data directory {places[0]}: start it with `summit-connect serve backend` or "
        "`summit-connect demo`, or name its directory with --data-dir"
    )


def demo_data_dir() -> Path:
    """Beside the real data, which a demo must not touch."""
    return default_data_dir() / "demo"


def _state_file(data_dir: Path) -> Path:
    return data_dir / "state.json"
