"""A credential plugin (`exec:` in a kubeconfig) that gives a token, fails, hangs or prints without end."""

import json
import stat
import sys
from pathlib import Path
from typing import Any

from summit_simulator.access import kubeconfig
from summit_simulator.cluster import SimulatedCluster

PLUGIN = """#!{python}
import json, os, pathlib, time
here = pathlib.Path(__file__).parent
with (here / "runs").open("a") as runs:
    runs.write("x")
info = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
status = json.loads((here / "status").read_text())
{action}
print(json.dumps({{"apiVersion": info["apiVersion"], "kind": "ExecCredential", "status": status}}))
"""


class Plugin:
    """A credential plugin that prints what `gives` was called with, and counts its runs."""

    def __init__(self, directory: Path, cluster: SimulatedCluster) -> None:
        self._directory = directory
        self._cluster = cluster
        self.kubeconfig = directory / "vulcan.yaml"
        self.does("")

    def does(self, action: str) -> None:
        script = self._directory / "plugin"
        script.write_text(PLUGIN.format(python=sys.executable, action=action))
        script.chmod(stat.S_IRWXU)

    def gives(self, status: dict[str, Any]) -> None:
        (self._directory / "status").write_text(json.dumps(status))

    @property
    def runs(self) -> int:
        file = self._directory / "runs"
        return len(file.read_text()) if file.exists() else 0

    def write_kubeconfig(self) -> Path:
        user = {"exec": {"command": "./plugin", "apiVersion": "client.authentication.k8s.io/v1", "args": None}}
        authority = self._cluster.authority
        config = kubeconfig.render(
            name="vulcan",
            server=self._cluster.url,
            user=user,
            ca_pem=authority.certificate_pem if authority else None,
        )
        return kubeconfig.write(self.kubeconfig, config)
