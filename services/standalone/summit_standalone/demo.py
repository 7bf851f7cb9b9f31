"""`summit-connect demo`: four simulated clusters in three datacenters, and everything that watches them.

Each start begins with empty data, since the simulated clusters start over as well. NATS_URL, DATABASE_URL and
WATCHER_DATACENTERS in the environment are ignored, since they name real servers and datacenters.
"""

import asyncio
import logging
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import yaml

from summit_standalone.backend import needs_no_token, servers, service, services
from summit_standalone.embedded.child import kept_running
from summit_standalone.embedded.server_process import poll
from summit_standalone.errors import StandaloneError
from summit_standalone.instance import OWN_FILES, Instance
from summit_standalone.serve import Options

logger = logging.getLogger("summit.standalone")

READY_SECONDS = 60.0
"""An idle machine with two cores needs ten; the rest is for slow disks and busy machines."""
MARKER = "this-is-a-demo"
"""A directory with this file may be emptied."""


@dataclass(frozen=True)
class DemoDatacenter:
    id: str
    name: str
    location: str
    coordinates: tuple[float, float]
    vms_by_cluster: dict[str, int]


# The same as in config/demo/datacenters.yaml for containers, so that the docs hold for both.
DATACENTERS: Sequence[DemoDatacenter] = (
    DemoDatacenter("dc-solna", "Solna", "Solna, Sweden", (59.36, 18.0), {"vulcan": 120, "romulus": 60}),
    DemoDatacenter("dc-sollentuna", "Sollentuna", "Sollentuna, Sweden", (59.428, 17.9509), {"andoria": 80}),
    DemoDatacenter("dc-uppsala", "Uppsala", "Uppsala, Sweden", (59.8586, 17.6389), {"betazed": 40}),
)
SEED = "1"
"""The same fleet at each start."""


async def demo(instance: Instance, options: Options) -> None:
    """Run the demo until cancelled. Raises StandaloneError when the API has no VMs in time."""
    data_dir = instance.data_dir
    _remove_old_data(data_dir)
    kubeconfigs = data_dir / "kubeconfigs"
    config = _write_config(data_dir)
    sizes = [f"{name}:{vms}" for datacenter in DATACENTERS for name, vms in datacenter.vms_by_cluster.items()]
    simulator = service(
        "simulator",
        {
            "SIMULATOR_CLUSTERS": ",".join(sizes),
            "SIMULATOR_KUBECONFIG_DIR": str(kubeconfigs),
            "SIMULATOR_SEED": SEED,
            "SIMULATOR_HOST": "127.0.0.1",
        },
    )
    async with kept_running(simulator, instance.report), servers(instance) as addresses:
        await _until_simulated(kubeconfigs, clusters=len(sizes))
        watcher = {"WATCHER_CONFIG": str(config), "WATCHER_DATACENTERS": ""}
        async with services(instance, addresses, host=options.host, port=options.port, watcher=watcher) as token:
            logger.info("waiting until %d clusters have been listed and the API shows their VMs", len(sizes))
            vms = await _until_served(instance, token)
            sys.stdout.write(_welcome(instance, vms, None if needs_no_token(options.host) else token))
            sys.stdout.flush()
            await asyncio.Event().wait()


def _remove_old_data(data_dir: Path) -> None:
    """Remove what the last demo left. Raises StandaloneError for a directory that holds something else."""
    marker = data_dir / MARKER
    strangers = sorted(path.name for path in data_dir.iterdir() if path.name not in OWN_FILES)
    if strangers and not marker.exists():
        raise StandaloneError(
            f"data directory {data_dir} is not that of a demo, which would overwrite what is there "
            f"({', '.join(strangers[:3])}): name a new or an empty one with --data-dir"
        )
    marker.touch()
    for name in ("nats", "postgres", "kubeconfigs"):
        shutil.rmtree(data_dir / name, ignore_errors=True)


def _write_config(data_dir: Path) -> Path:
    datacenters = [
        {
            "id": datacenter.id,
            "name": datacenter.name,
            "location": datacenter.location,
            "coordinates": list(datacenter.coordinates),
            "clusters": [
                {"name": name, "kubeconfig": f"kubeconfigs/{name}.kubeconfig"} for name in datacenter.vms_by_cluster
            ],
        }
        for datacenter in DATACENTERS
    ]
    path = data_dir / "datacenters.yaml"
    path.write_text(yaml.safe_dump({"datacenters": datacenters}, sort_keys=False))
    return path


async def _until_simulated(kubeconfigs: Path, *, clusters: int) -> None:
    """Wait for the kubeconfigs: a watcher that starts too early tries again, but only after a while."""

    async def all_there() -> bool:
        return len(list(kubeconfigs.glob("*.kubeconfig"))) >= clusters  # noqa: ASYNC240  a directory of ours

    if not await poll(all_there, READY_SECONDS):
        raise StandaloneError(f"the simulated clusters did not start within {READY_SECONDS:.0f} s: see the lines above")


async def _until_served(instance: Instance, token: str) -> int:
    """Wait until the API answers with VMs of every datacenter, and return how many there are."""
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(instance.facts["api"], headers=headers) as session:
        if vms := await poll(lambda: _served_vms(session), READY_SECONDS):
            return vms
    states = ", ".join(f"{name} is {state}" for name, state in instance.states().items())
    raise StandaloneError(
        f"{instance.facts['api']} showed no VMs within {READY_SECONDS:.0f} s ({states}): see the lines above"
    )


async def _served_vms(session: aiohttp.ClientSession) -> int:
    """The number of VMs; 0 while the API does not answer or a datacenter has none."""
    try:
        async with session.get("/api/v1/datacenters", allow_redirects=False) as answer:
            if answer.status != 200:
                return 0
            counts = [len(datacenter["vms"]) for datacenter in (await answer.json())["datacenters"]]
    except (aiohttp.ClientError, TimeoutError):
        return 0
    return sum(counts) if len(counts) >= len(DATACENTERS) and all(counts) else 0


def _welcome(instance: Instance, vms: int, token: str | None) -> str:
    """Commands to try, with the token where one is needed."""
    api, nats_url = instance.facts["api"], instance.facts["natsUrl"]
    clusters = sum(len(datacenter.vms_by_cluster) for datacenter in DATACENTERS)
    curl = f"curl -sH 'Authorization: Bearer {token}'" if token else "curl -s"
    subscribe = shlex.join([_own_command(), "sub", "--data-dir", str(instance.data_dir)])
    return f"""
{vms} VMs of {clusters} simulated clusters in {len(DATACENTERS)} datacenters: {api}

  {curl} {api}/api/v1/status
  {curl} '{api}/api/v1/vms?status=running&limit=3'
  {curl} {api}/api/v1/clusters

Every change as it happens:

  {subscribe} 'summit.vms.dc-solna.>'
  nats sub --server {nats_url} 'summit.vms.dc-solna.>'

Ctrl-C stops everything. Data and logs: {instance.data_dir}

"""


def _own_command() -> str:
    """The command as it was called, so that the printed line works where it is pasted."""
    called, on_path = Path(sys.argv[0]), shutil.which("summit-connect")
    if on_path and called.exists() and Path(on_path).samefile(called):
        return "summit-connect"
    return str(called)
