"""What docs/deployment.md has figures of: the size of each image, and the memory of each container."""

import itertools
import json
from collections.abc import Mapping

from compose.project import Project, docker, inspected

BUILT = ("nats", "watcher", "projector", "api", "simulator")
TRACEBACK = "Traceback (most recent call last)"


async def image_sizes(project: Project) -> list[str]:
    """The size of each image that the Dockerfile makes, with all its layers."""
    sizes = {name: (await inspected("image", f"{project.name}-{name}"))["Size"] for name in BUILT}
    return [f"  {name:<16}{size / 1e6:>7.0f} MB" for name, size in sizes.items()]


async def memory(project: Project) -> list[str]:
    """The memory of each container, beside its limit."""
    ids = (await project.compose("ps", "--quiet", "--status", "running")).split()
    lines = (await docker("stats", "--no-stream", "--format", "{{json .}}", *ids)).splitlines()
    used: Mapping[str, str] = {one["Name"]: one["MemUsage"] for one in map(json.loads, lines)}
    return [f"  {name.removeprefix(project.name + '-'):<16}{usage}" for name, usage in sorted(used.items())]


async def tracebacks(project: Project) -> list[str]:
    """Each line before a traceback: a service logs one line for each failure that it knows."""
    lines = (await project.compose("logs", "--no-color")).splitlines()
    return [before for before, line in itertools.pairwise(lines) if TRACEBACK in line]


async def dead_letters(project: Project) -> list[str]:
    """The events that could not be applied, with their reasons; not those that the earlier version set aside."""
    query = "SELECT revision, subject, reason FROM dead_letters WHERE dead_lettered_at > now() - interval '1 hour'"
    psql = ("exec", "-T", "postgres", "psql", "--username=summit", "--tuples-only", "--no-align", f"--command={query}")
    return (await project.compose(*psql)).split("\n")[:-1]
