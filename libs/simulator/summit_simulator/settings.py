"""The simulator's environment variables."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

# Where several clusters are asked for by number only.
NAMES = ("vulcan", "romulus", "andoria", "betazed", "qonos", "risa", "trill", "cardassia", "ferenginar", "bajor")
DEFAULT_VMS = 40


class ClusterSetting(NamedTuple):
    name: str
    vms: int


@dataclass(frozen=True, slots=True)
class Settings:
    """How to run as a process; each field is SIMULATOR_<NAME> in the environment."""

    clusters: tuple[ClusterSetting, ...]  # SIMULATOR_CLUSTERS: "fra-1:200,sto-1:50", or a count
    kubeconfig_dir: Path
    seed: int
    rate: float  # events per minute in each cluster; 0: nothing happens by itself
    speed: float  # simulated seconds per second
    host: str  # to listen on
    advertise_host: str  # to name in kubeconfigs
    base_port: int  # of the first cluster, the next one has the next port; 0: free ports
    tls: bool


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Read the environment. Raises ValueError that names the variable."""
    host = environment.get("SIMULATOR_HOST", "127.0.0.1")
    return Settings(
        clusters=_clusters(environment.get("SIMULATOR_CLUSTERS", "2")),
        kubeconfig_dir=Path(environment.get("SIMULATOR_KUBECONFIG_DIR", "kubeconfigs")),
        seed=int(_number(environment, "SIMULATOR_SEED", "0")),
        rate=_number(environment, "SIMULATOR_RATE", "30"),
        speed=_number(environment, "SIMULATOR_SPEED", "1"),
        host=host,
        advertise_host=environment.get("SIMULATOR_ADVERTISE_HOST") or ("127.0.0.1" if host == "0.0.0.0" else host),
        base_port=int(_number(environment, "SIMULATOR_BASE_PORT", "0")),
        tls=environment.get("SIMULATOR_TLS", "true").lower() not in ("false", "0", "no"),
    )


def _clusters(text: str) -> tuple[ClusterSetting, ...]:
    if text.strip().isdecimal():
        count = int(text)
        names = (NAMES[n] if n < len(NAMES) else f"cluster-{n + 1}" for n in range(count))
        return tuple(ClusterSetting(name, DEFAULT_VMS) for name in names)
    found: list[ClusterSetting] = []
    for part in filter(None, (entry.strip() for entry in text.split(","))):
        name, _, vms = part.partition(":")
        if not name or (vms and not vms.isdecimal()):
            raise ValueError(f"SIMULATOR_CLUSTERS: {part!r} is not <name> or <name>:<number of VMs>")
        found.append(ClusterSetting(name, int(vms) if vms else DEFAULT_VMS))
    if len({cluster.name for cluster in found}) < len(found):
        raise ValueError(f"SIMULATOR_CLUSTERS: a name appears twice in {text!r}")
    return tuple(found)


def _number(environment: Mapping[str, str], name: str, default: str) -> float:
    text = environment.get(name) or default
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{name}: {text!r} is not a number") from None
    if value < 0:
        raise ValueError(f"{name}: {text!r} is negative")
    return value
