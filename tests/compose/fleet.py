"""The truth: what the simulated clusters say of themselves, over the Kubernetes API that the watchers use, too."""

import asyncio
import ssl
from base64 import b64decode
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import yaml
from compose.project import Project, address
from support.oracle import Json, differing, expected_vms, phases_of_migrations

from summit_watcher.kube.resources import WATCHED

DATACENTERS = {"vulcan": "dc-solna", "romulus": "dc-solna", "andoria": "dc-sollentuna", "betazed": "dc-uppsala"}
"""The clusters of config/demo/datacenters.yaml, in the order of their ports."""
FIRST_PORT = 6443


@dataclass(frozen=True)
class State:
    vms: Mapping[str, Json]
    """By uid, as the API shows them."""
    migrations: Mapping[str, str]
    """Phase by uid."""


@dataclass(frozen=True)
class Cluster:
    name: str
    http: httpx2.AsyncClient

    async def state(self) -> State:
        """What exists now. Raises httpx2.HTTPError."""
        answers = await asyncio.gather(*(self.http.get(resource.path) for resource in WATCHED))
        truth = {
            resource.plural: {item["metadata"]["uid"]: item for item in answer.raise_for_status().json()["items"]}
            for resource, answer in zip(WATCHED, answers, strict=True)
        }
        vms = expected_vms(truth, cluster=self.name, datacenter=DATACENTERS[self.name])
        return State(vms, phases_of_migrations(truth))


@asynccontextmanager
async def simulated(project: Project) -> AsyncIterator[Sequence[Cluster]]:
    """The clusters of the project's simulator, with the credentials of the kubeconfigs on its volume."""
    (simulator,) = await project.containers("simulator")
    async with AsyncExitStack() as stack:
        clusters = []
        for port, name in enumerate(DATACENTERS, FIRST_PORT):
            text = await project.compose("exec", "-T", "simulator", "cat", f"/kubeconfigs/{name}.kubeconfig")
            http = _client(yaml.safe_load(text), await address(simulator, port))
            clusters.append(Cluster(name, await stack.enter_async_context(http)))
        yield clusters


def _client(kubeconfig: Any, where: str) -> httpx2.AsyncClient:
    authority = kubeconfig["clusters"][0]["cluster"]["certificate-authority-data"]
    trusted = ssl.create_default_context(cadata=b64decode(authority).decode())
    headers = {"Authorization": f"Bearer {kubeconfig['users'][0]['user']['token']}"}
    return httpx2.AsyncClient(base_url=f"https://{where}", verify=trusted, headers=headers, timeout=20)


@dataclass
class Comparison:
    """The API beside a cluster that never stands still: each object of the first look has to be shown once as it is.

    Two looks at the cluster, before and after the look at the API, say whether an object changed in between. Whatever
    differs may have changed a moment ago, and is looked at again until it is gone.
    """

    waiting: dict[str, object] | None = None
    """What differs, by the uid of each object that was not yet shown as it is; None before the first look."""

    def take(self, before: State, shown: State, after: State) -> None:
        """Compare once more; `shown` is what the API says of the cluster."""
        differences: dict[str, object] = {}
        for uid in before.vms.keys() | shown.vms.keys() | after.vms.keys():
            changes = differing(before.vms.get(uid), after.vms.get(uid))
            differences[uid] = changes or differing(after.vms.get(uid), shown.vms.get(uid))
        for uid, phase in after.migrations.items():  # the API shows those that are gone, too
            seen = (before.migrations.get(uid), shown.migrations.get(uid))
            differences[uid] = set(seen) - {phase}
        waited_for = differences if self.waiting is None else self.waiting
        self.waiting = {uid: wrong for uid in waited_for if (wrong := differences.get(uid))}
